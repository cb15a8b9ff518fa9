// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// What the variables of the dashboard select. The original's metrics, and those of the process,
// have no scenario.
const (
	selected     = `{namespace=~"$namespace", scenario=~"$scenario", pod=~"$pod"}`
	selectedPods = `{namespace=~"$namespace", pod=~"$pod"}`
)

// A client measures once and in a burst: a whole histogram may come into being between two scrapes,
// which a rate does not see. Its metrics count from its start, so the value itself is the result,
// and the last value in the time range still is when the client is gone.
const (
	now    = "%s%s"
	latest = "last_over_time(%s%s[$__range])"
	rate   = "rate(%s%s[$__rate_interval])"
)

// histogram is a metric that a server keeps as a native histogram, in classic buckets, or in both
// ways.
type histogram struct {
	name     string
	selector string
	// by is the label that is kept; empty for none.
	by string
}

// The histograms of the clients. Those without a prefix are the original's.
func transition() histogram {
	return histogram{"netpol_latency_transition_seconds", selected, "scenario"}
}

func resolution() histogram {
	return histogram{"netpol_latency_resolution_seconds", selected, "scenario"}
}

func lateness() histogram {
	return histogram{"netpol_latency_probe_lateness_seconds", selected, "scenario"}
}

func original(name string) histogram { return histogram{name, selectedPods, ""} }

// total sums series up that are read through a window, and keeps labels.
func total(name, selector, window string, labels ...string) string {
	labels = slices.DeleteFunc(labels, func(label string) bool { return label == "" })
	read := fmt.Sprintf(window, name, selector)
	if len(labels) == 0 {
		return "sum(" + read + ")"
	}
	return "sum by (" + strings.Join(labels, ", ") + ") (" + read + ")"
}

// native is the sum of the native histograms.
func (h histogram) native(window string) string { return total(h.name, h.selector, window, h.by) }

// classic is the sum of one kind of a classic histogram's series.
func (h histogram) classic(suffix, window string, labels ...string) string {
	return total(h.name+suffix, h.selector, window, append([]string{h.by}, labels...)...)
}

// quantile is taken from native histograms where the server has them, else from buckets.
func (h histogram) quantile(q float64, window string) string {
	return fmt.Sprintf("histogram_quantile(%v, %s)\nor histogram_quantile(%v, %s)",
		q, h.native(window), q, h.classic("_bucket", window, "le"))
}

// count is the number of observations.
func (h histogram) count(window string) string {
	return fmt.Sprintf("histogram_count(%s)\nor %s", h.native(window), h.classic("_count", window))
}

// above is the part of the observations above a bound, which must be one of the classic bounds.
func (h histogram) above(bound, window string) string {
	within := h
	within.selector = strings.TrimSuffix(h.selector, "}") + fmt.Sprintf(", le=%q}", bound)
	return fmt.Sprintf("histogram_fraction(%s, +Inf, %s)\nor 1 - %s / %s", bound, h.native(window),
		within.classic("_bucket", window), h.classic("_count", window))
}

// distribution is all of a histogram, for a heat map. Classic buckets are used only if there is no
// native histogram: the two differ in their labels, so that "or" alone would show both.
func (h histogram) distribution(window string) string {
	h.by = ""
	return fmt.Sprintf("%s\nor on () %s", h.native(window), h.classic("_bucket", window, "le"))
}

// process is a metric of the selected clients' processes, of which only the clients' own metrics
// tell the scenario.
func process(metric, window string) string {
	return fmt.Sprintf(window+"\nand on (namespace, pod) netpol_latency_targets_expected%s",
		metric, selectedPods, selected)
}
