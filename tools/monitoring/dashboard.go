// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

const about = "What the drop-in test clients of netpol-latency have measured: how long " +
	"NetworkPolicy changes and new pods take until traffic flows. Figures count from the start " +
	"of each client that is selected, up to the end of the time range. docs/monitoring.md of the " +
	"project says more."

// renderDashboard makes the dashboard as Grafana imports it.
func renderDashboard() ([]byte, error) {
	builder := dashboard.NewDashboardBuilder("netpol-latency").Uid("netpol-latency").
		Description(about).
		Tags([]string{"netpol-latency", "kubernetes", "networkpolicy"}).Time("now-1h",
		"now").Refresh("30s").
		Tooltip(dashboard.DashboardCursorSyncCrosshair)
	addVariables(builder)
	addResults(builder)
	addLatency(builder)
	addOriginals(builder)
	addAccount(builder)
	addProbing(builder)
	addProcess(builder)
	board, err := builder.Build()
	if err != nil {
		return nil, fmt.Errorf("build the dashboard: %w", err)
	}

	number(board.Panels)
	tidy(board)
	content, err := json.MarshalIndent(board, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the dashboard as JSON: %w", err)
	}

	return append(content, '\n'), nil
}

// number gives every panel the number that Grafana would give it at the first import, so that links
// to it last.
func number(panels []dashboard.PanelOrRowPanel) {
	for i, panel := range panels {
		id := uint32(i + 1)
		if panel.Panel != nil {
			panel.Panel.Id = &id
		} else {
			panel.RowPanel.Id = id
		}
	}
}

// tidy removes what builders write without being asked, and Grafana 13 does not know: the settings
// of interval variables in variables of other kinds, and the footers of tables.
func tidy(board dashboard.Dashboard) {
	for i := range board.Templating.List {
		one := &board.Templating.List[i]
		one.Auto, one.AutoMin, one.AutoCount = nil, nil, nil
	}
	for _, panel := range board.Panels {
		if panel.Panel == nil {
			continue
		}
		if options, ok := panel.Panel.Options.(*table.Options); ok {
			options.Footer = nil
		}
	}
}

func addVariables(b *dashboard.DashboardBuilder) {
	b.WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").
		Type("prometheus"))
	b.WithVariable(labelVariable("namespace", "Namespace", ""))
	b.WithVariable(labelVariable("scenario", "Scenario", `{namespace=~"$namespace"}`))
	b.WithVariable(labelVariable("pod", "Client pod",
		`{namespace=~"$namespace", scenario=~"$scenario"}`))
}

// labelVariable offers the values of a label that clients in the time range had. "All" also takes
// series without it.
func labelVariable(name, label, selector string) *dashboard.QueryVariableBuilder {
	ask := fmt.Sprintf("label_values(netpol_latency_targets_expected%s, %s)", selector, name)
	return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(source()).
		Query(dashboard.StringOrMap{Map: map[string]any{
			"qryType": 1, "query": ask, "refId": "PrometheusVariableQueryEditor-VariableQuery",
		}}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(".*").Current(dashboard.VariableOption{
		Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
		Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
	})
}

func addResults(b *dashboard.DashboardBuilder) {
	const expected, ended = "netpol_latency_targets_expected", "netpol_latency_targets_total"
	b.WithRow(dashboard.NewRowBuilder("Results"))
	b.WithPanel(figures("Targets", units.Short,
		"Pods that must end with a result, and those that have none yet. A client of "+
			"policy-creation waits for its "+
			"policy as long as it takes: until then all of its targets are without a result, and "+
			"nothing is wrong.",
		query{total(expected, selected, latest), "expected"},
		query{total(expected, selected, latest) + "\n- " + total(ended, selected, latest),
			"without a result yet"},
	).Span(third))
	b.WithPanel(figures("Targets that ended", units.Short,
		"How targets ended. Censored: not seen allowed in the time that they were given; their "+
			"latency is longer than that, and is in no percentile of this page. Invalid: not "+
			"seen denied before the trigger, so there is no latency to measure. Deleted: gone "+
			"before the transition. Percentiles cover the measured targets only: read them "+
			"beside this.",
		query{total(ended, selected, latest, "status"), "{{status}}"},
	).Span(third).OverrideByName("measured", painted("green")).OverrideByName("deleted",
		painted("text")).
		OverrideByName("censored", alarming("orange")).OverrideByName("invalid", alarming("red")))
	b.WithPanel(figures("Clients", units.Short,
		"Test clients with metrics in the time range. A client that was restarted counts once, "+
			"and only what it has measured since is seen here.",
		query{"count(" + fmt.Sprintf(latest, expected, selected) + ")", "clients"},
	).Span(third))
	b.WithPanel(grid("Latency and resolution by scenario",
		"Percentiles of the measured targets, estimated from a histogram, and beside them the "+
			"resolution: the width of the interval that is known to contain a latency. A native "+
			"histogram adds an error of up to a tenth, a classic one of up to the width of its "+
			"bucket: 1 s to 2 s is one. The exact figures are in \"netpol-latency summary\" and "+
			"/samples of a client.",
		"scenario",
		column{"expected", units.Short, total(expected, selected, latest, "scenario")},
		column{"measured", units.Short, transition().count(latest)},
		column{"p50", units.Seconds, transition().quantile(.5, latest)},
		column{"p90", units.Seconds, transition().quantile(.9, latest)},
		column{"p99", units.Seconds, transition().quantile(.99, latest)},
		column{"resolution p50", units.Seconds, resolution().quantile(.5, latest)},
		column{"resolution p99", units.Seconds, resolution().quantile(.99, latest)},
	).Span(full))
}

// quantiles are those that a chart shows of a histogram, named after the label that it keeps.
func quantiles(h histogram, window string, of ...float64) []query {
	var all []query
	for _, q := range of {
		legend := fmt.Sprintf("p%.0f", 100*q)
		if h.by != "" {
			legend = "{{" + h.by + "}} " + legend
		}
		all = append(all, query{h.quantile(q, window), legend})
	}
	return all
}

func addLatency(b *dashboard.DashboardBuilder) {
	b.WithRow(dashboard.NewRowBuilder("Latency"))
	b.WithPanel(chart("Latency of everything measured so far", units.Seconds,
		"From the start (see \"Starts\") to the transition, for all targets that were measured "+
			"up to each instant: a value is not about that instant. The line rises while slow "+
			"targets come in, and is the result once it is level.",
		quantiles(transition(), now, .5, .9, .99)...).Span(half))
	b.WithPanel(chart("Resolution of everything measured so far", units.Seconds,
		"Width of the interval that contains the latency. Two latencies that differ by less are "+
			"not known to differ. It widens with the number of targets, which share the rate of "+
			"probes, and with the latency, of which it is about 1 %.",
		quantiles(resolution(), now, .5, .99)...).Span(half))
	b.WithPanel(spread("Distribution of the latency",
		"How many targets had which latency, of all that were measured up to each instant; "+
			"several humps mean that targets were not enforced alike, by node for example. Rows "+
			"are the histogram's buckets, so their height says nothing.",
		transition().distribution(now)).Span(half))
	starts := transition()
	starts.by = "start"
	b.WithPanel(chart("Starts", units.Short,
		"Targets by the instant that their latency counts from: address-arrival, read, "+
			"watch-arrival and annotation are known to milliseconds, creation-timestamp to a "+
			"second, by which the resolution is wider.",
		query{starts.count(now), "{{start}}"}).Span(half))
}

func addOriginals(b *dashboard.DashboardBuilder) {
	const creation = "From the pod's creationTimestamp to the arrival of its address at the " +
		"client's watch. The time is of two clocks, and cut to a second: do not read differences " +
		"below one. It has nothing to do with policies."
	const reached = "From the arrival of a pod's address to its first response. This is the end " +
		"of the interval that contains the latency, so it is never below that, and is more by " +
		"about half of the resolution."
	const enforced = "From the allow policy's creationTimestamp to the first response of a " +
		"target. The time is of two clocks, and cut to a second: expect up to a second too much. " +
		"The latency above counts from the policy's arrival instead."
	b.WithRow(dashboard.NewRowBuilder("Metrics of the original clients (of all scenarios)"))
	for _, one := range []struct{ title, metric, description string }{
		{"Pod address assigned", "pod_ip_address_assigned_latency_seconds", creation},
		{"Pod reached", "pod_creation_reachability_latency_seconds", reached},
		{"Policy enforced", "policy_enforcement_latency_policy_creation_seconds", enforced},
	} {
		figures := quantiles(original(one.metric), now, .5, .9, .99)
		b.WithPanel(chart(one.title, units.Seconds, one.description, figures...).Span(third))
	}
}

func addAccount(b *dashboard.DashboardBuilder) {
	b.WithRow(dashboard.NewRowBuilder("Account"))
	b.WithPanel(chart("Targets by status", units.Short,
		"Every target ends as exactly one of these. The distance to the number expected is what "+
			"still has no result.",
		query{total("netpol_latency_targets_total", selected, now, "status"), "{{status}}"},
		query{total("netpol_latency_targets_expected", selected, now), "expected"},
	).Span(half).OverrideByName("measured", painted("green")).OverrideByName("censored",
		painted("orange")).
		OverrideByName("invalid", painted("red")).OverrideByName("deleted", painted("text")).
		OverrideByName("expected", painted("blue")))
	b.WithPanel(chart("Targets without a result", units.Short,
		"By scenario. A scenario that stays above zero after its trigger has targets that are "+
			"not enforced yet, or never: without --target-timeout a client never gives up.",
		query{total("netpol_latency_targets_expected", selected, now, "scenario") + "\n- " +
			total("netpol_latency_targets_total", selected, now, "scenario"), "{{scenario}}"},
	).Span(half))
}

func addProbing(b *dashboard.DashboardBuilder) {
	const probes = "netpol_latency_probes_total"
	b.WithRow(dashboard.NewRowBuilder("Probing"))
	b.WithPanel(chart("Probes by outcome", units.CountsPerSecond,
		"Probes that ended, per second. Dropped, rejected and refused are what a target that is "+
			"still denied looks like; refused is also a target whose server is not up. Ambiguous "+
			"probes could not be sent or evaluated, and prove nothing.",
		query{total(probes, selected, rate, "verdict"), "{{verdict}}"}).Span(third))
	b.WithPanel(chart("Lateness of probes", units.Seconds,
		"How much later than planned probes left, at each time. What the client's process does "+
			"not get to do in time widens the resolution; it cannot make a latency wrong.",
		quantiles(lateness(), rate, .5, .99)...).Span(third))
	b.WithPanel(chart("Probes more than 10 ms late", units.PercentUnit,
		"Part of the probes that left more than 10 ms after their time. More than a few percent: "+
			"the client has too little CPU, or too many targets for one.",
		query{lateness().above("0.01", rate), "{{scenario}}"}).Span(third))
}

func addProcess(b *dashboard.DashboardBuilder) {
	const client = "{{namespace}}/{{pod}}"
	b.WithRow(dashboard.NewRowBuilder("Cost of the clients"))
	b.WithPanel(chart("CPU", units.Short,
		"Cores that each client uses. At its container's limit it is throttled, and probes are "+
			"late.",
		query{process("process_cpu_seconds_total", rate), client}).Span(third))
	b.WithPanel(chart("Memory", units.BytesIEC,
		"Resident memory of each client.",
		query{process("process_resident_memory_bytes", now), client}).Span(third))
	b.WithPanel(chart("Open descriptors", units.Short,
		"Most are probes in flight: at its limit a client cannot send, and probes are ambiguous.",
		query{process("process_open_fds", now), client},
		query{process("process_max_fds", now), client + " limit"},
	).Span(third).OverrideByRegexp(" limit$", hidden()))
}

// alarming is for figures that ought to be zero: coloured above it.
func alarming(color string) []dashboard.DynamicConfigValue {
	thresholds := map[string]any{"mode": "absolute", "steps": []map[string]any{
		{"value": nil, "color": "text"}, {"value": 1, "color": color},
	}}
	return []dashboard.DynamicConfigValue{
		{Id: "color", Value: map[string]string{"mode": "thresholds"}},
		{Id: "thresholds", Value: thresholds},
	}
}

// hidden keeps a series in the legend alone: it would flatten the others.
func hidden() []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{{Id: "custom.hideFrom",
		Value: common.HideSeriesConfig{Viz: true}}}
}
