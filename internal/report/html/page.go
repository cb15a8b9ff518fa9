// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// page is what the template shows.
type page struct {
	assets
	Title   string
	Library string
	Runs    []run
	// Several says that there is more than one run, so that each needs a heading of its own.
	Several bool
	// Comparison, or SideBySide, stands in the place of runs.
	Comparison *comparison
	SideBySide *sideBySide
}

// run is the part of the document about one run.
type run struct {
	ID, Name   string
	Setting    string // of all sections, if they share one
	Verdict    verdict
	Thresholds []threshold
	Warnings   []warning
	Overview   []overview
	Sections   []section
	Facts      []fact
	Nodes      []result.Node
	Settings   settings
	Command    string
}

// fact is a line about the environment.
type fact struct{ Label, Value string }

// warning is a warning with the name of what it is about.
type warning struct{ About, Anchor, Text string }

// settings are how the scenarios were run: a row for each setting that the run noted, a column for
// each scenario.
type settings struct {
	Scenarios []string
	Rows      []settingRow
}

type settingRow struct {
	Name   string
	Values []string
}

func newSettings(source report.Source) settings {
	var all settings
	scenarios := source.Run.Scenarios
	row := func(name string, value func(result.Scenario) string) {
		one := settingRow{Name: name}
		noted := false
		for _, scenario := range scenarios {
			text := value(scenario)
			one.Values, noted = append(one.Values, text), noted || text != ""
		}
		if noted {
			all.Rows = append(all.Rows, one)
		}
	}

	for _, scenario := range scenarios {
		all.Scenarios = append(all.Scenarios, scenario.Scenario)
	}
	for _, field := range source.Settings {
		row(field.Title, func(s result.Scenario) string { return field.RecallText(s.Settings) })
	}
	nodes := func(names []string) string { return strings.Join(names, ", ") }
	row("nodes of agents", func(s result.Scenario) string { return nodes(s.AgentNodes) })
	row("nodes of targets", func(s result.Scenario) string { return nodes(s.TargetNodes) })
	return all
}

func newPage(reports []report.Report) (page, error) {
	loaded, err := loadAssets(scripts())
	if err != nil {
		return page{}, err
	}

	all := page{assets: loaded, Library: libraryVersion, Several: len(reports) > 1}
	for i, one := range reports {
		all.Runs = append(all.Runs, newRun(one, i+1))
	}

	all.Title = fmt.Sprintf("netpol-latency: %d runs", len(reports))
	if len(reports) == 1 {
		all.Title = "netpol-latency: " + all.Runs[0].Name
	}

	return all, nil
}

func newRun(source report.Report, number int) run {
	assessment := source.Assessment
	summaries := assessment.Summaries()
	one := run{
		ID: fmt.Sprintf("run-%d", number), Name: "run " + source.Run.ID,
		Thresholds: thresholds(assessment.Thresholds),
		Facts:      facts(source.Source), Nodes: source.Run.Nodes,
		Command: report.CommandLine(source.Run), Settings: newSettings(source.Source),
	}

	if source.Run.ID == "" {
		one.Name = "run in " + source.Directory.String()
	}

	for _, text := range source.Run.Warnings {
		one.Warnings = append(one.Warnings, warning{About: "the run", Text: text})
	}

	one.Setting = shared(summaries)
	for i, result := range source.Results {
		badge := result.Summary.Setting
		if badge == one.Setting {
			badge = ""
		}
		built := newSection(result, source.Nodes, fmt.Sprintf("%s-%d", one.ID, i+1), badge)
		one.Sections = append(one.Sections, built)
		one.Overview = append(one.Overview, newOverview(built, result))
		for _, text := range result.Summary.Warnings {
			one.Warnings = append(one.Warnings, warning{built.title(), built.Anchor, text})
		}
	}

	one.Verdict = newVerdict(assessment, one)
	return one
}

// shared is the setting of all summaries, if they have the same.
func shared(summaries []measure.Summary) string {
	for _, one := range summaries {
		if one.Setting != summaries[0].Setting {
			return ""
		}
	}
	if len(summaries) == 0 {
		return ""
	}
	return summaries[0].Setting
}

// facts are what is known about the run and the cluster.
func facts(source report.Source) []fact {
	run := source.Run
	all := []fact{
		{"Run", run.ID}, {"Results in", source.Directory.String()}, {"netpol-latency", run.Version},
		{"Began", stamp(run.Began)}, {"Took", took(run.Began, run.Ended)},
		{"Kubernetes", run.Kubernetes}, {"Network plugins", plugins(run.Plugins)},
	}
	if run.Context != "" { // there is none in a pod, and earlier versions did not note it
		all = append(all, fact{"Context", run.Context})
	}

	for i := range all {
		if all[i].Value == "" {
			all[i].Value = "not known"
		}
	}
	return all
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format("2 January 2006, 15:04:05 MST")
}

func took(began, ended time.Time) string {
	if began.IsZero() || ended.Before(began) {
		return ""
	}
	return ended.Sub(began).Round(100 * time.Millisecond).String()
}

// plugins names the network plugins.
func plugins(found []result.Plugin) string {
	if len(found) == 0 {
		return "none found among the daemon sets"
	}
	var names []string
	for _, one := range found {
		names = append(names, one.String())
	}
	return strings.Join(names, ", ")
}

// overview is the line about one section in the table of all.
type overview struct {
	Anchor, Scenario, Badge string
	Of, Median, P99, Leaks  string
	Flaps                   int
	Severity                severity
	Status                  string
}

func newOverview(s section, result report.Result) overview {
	summary := result.Summary
	one := overview{
		Anchor: s.Anchor, Scenario: s.Scenario, Badge: s.Badge, Flaps: summary.Flaps, Median: "-",
		P99: "-", Leaks: "-",
		Of: fmt.Sprintf("%d of %d", summary.Account.Count(measure.Measured),
			summary.Account.Expected),
		Severity: s.Severity, Status: s.Status,
	}

	if summary.Kind.Stays() {
		if one.Leaks = fmt.Sprint(summary.Leaks); summary.Disruption.Pairs > 0 {
			one.Leaks = report.StaysText(summary)
		}
		return one
	}

	one.Median, one.P99 = report.FindCell(result.Cells, "p50").Value,
		report.FindCell(result.Cells, "p99").Value
	return one
}
