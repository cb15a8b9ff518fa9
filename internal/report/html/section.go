// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

// section is the part of the document about one scenario or part of it, in one setting.
type section struct {
	Anchor, Scenario, Setting string
	// Badge is the setting, unless all sections of the run share it.
	Badge string
	// Meaning says what was waited for, and from when on.
	Meaning  string
	Severity severity
	Status   string // the account in words
	// Forbidden pairs were to stay blocked: there are leaks to count, and no latency.
	Forbidden bool
	Quantiles []quantileRow
	// NoLatency says that there are no quantiles although there could be.
	NoLatency string
	Places    []placeRow
	// PlaceNote says why there are no places to compare.
	PlaceNote string
	Warnings  []string
	Data      data
}

func (s section) title() string { return measure.ResultName(s.Scenario, s.Badge) }

// data is what the scripts draw. Durations are milliseconds since the trigger.
type data struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	Forbidden bool   `json:"forbidden"`
	// Keeps is the state that pairs had to keep through a disruption, empty of others.
	Keeps string `json:"keeps,omitempty"`
	// Want is the state that the trigger was to bring about: allowed or blocked.
	Want   string  `json:"want"`
	Curves []curve `json:"curves,omitempty"`
	Pairs  pairs   `json:"pairs"`
}

func newSection(result report.Result, nodes report.Nodes, anchor, badge string) section {
	summary, samples := result.Summary, result.Samples
	one := section{
		Anchor: anchor, Scenario: summary.Scenario, Setting: summary.Setting, Badge: badge,
		Meaning:   meaning(samples),
		Forbidden: summary.Kind.Stays(), Warnings: summary.Warnings,
	}

	one.Severity, one.Status = severity(result.Severity()), account(summary)
	one.Data = data{
		ID: anchor, Title: one.title(), Forbidden: one.Forbidden, Want: want(samples).String(),
	}

	if summary.Disruption.Pairs > 0 {
		one.Data.Keeps = summary.Kind.Keeps().String()
	}
	one.Data.Pairs = newPairs(samples, nodes)
	switch {
	case one.Forbidden:
		return one
	case !summary.HasLatency():
		one.NoLatency = "No pair has a latency: there is neither a distribution nor a percentile " +
			"to show."
		return one
	}

	for _, cell := range result.Cells {
		one.Quantiles = append(one.Quantiles, newQuantileRow(cell))
	}

	one.Data.Curves = []curve{newCurve("all pairs", samples)}
	one.compare(result)
	return one
}

// compare adds the pairs of one node beside those across nodes, if it is known which they are.
func (s *section) compare(result report.Result) {
	switch only := result.Places.Only(); {
	case len(result.Places) > 1:
		s.Places = placeRows(result.Places...)
		for _, one := range result.Places {
			if one.Place != report.PlaceUnknown {
				s.Data.Curves = append(s.Data.Curves, newCurve(string(one.Place), one.Samples))
			}
		}
		return
	case only == report.PlaceSame:
		s.PlaceNote = "Every pair had both pods on one node."
	case only == report.PlaceOther:
		s.PlaceNote = "Every pair had its two pods on different nodes."
	default:
		s.PlaceNote = "The records do not say on which nodes the pods ran, so that pairs on one " +
			"node cannot be told from others."
	}

	if c := result.Compared; c != nil {
		s.PlaceNote += " Beside them are those of the run with the other placement."
		s.Places = placeRows(c.Same, c.Other)
	}
}

// want is the state that the pairs were to change to.
func want(samples []measure.Sample) measure.State {
	for _, sample := range samples {
		switch {
		case sample.Kind.Stays():
			return sample.Kind.Keeps()
		case sample.Want != measure.StateUnknown:
			return sample.Want
		}
	}
	return measure.StateAllowed // the drop-in clients wait for nothing else
}

// meaning says in a sentence what was waited for.
func meaning(samples []measure.Sample) string {
	if len(samples) == 0 {
		return ""
	}

	from := map[measure.StartSource]string{
		measure.StartAddress:    "the arrival of the pod's address",
		measure.StartProcess:    "the start of the pod's process",
		measure.StartWrite:      "the write of the trigger",
		measure.StartRead:       "the API's acceptance of the trigger",
		measure.StartWatchRead:  "the API's acceptance of the trigger",
		measure.StartWatch:      "the arrival of the trigger in the watch",
		measure.StartAnnotation: "the instant that the trigger's writer left in it",
		measure.StartCreation:   "the trigger's creationTimestamp, a whole second",
	}[start(samples)]
	if from == "" {
		from = "the trigger"
	}

	switch samples[0].Kind {
	case measure.KindBlocked:
		return "These pairs had to stay blocked. Every reply is a leak. Time counts from " + from +
			"."
	case measure.KindAllowed, measure.KindOpenAllowed, measure.KindOpenBlocked:
		return "These pairs had to stay " + samples[0].Kind.Keeps().String() +
			". Time counts from the event."
	case measure.KindOpen:
		return "From " + from + " until an open connection was blocked."
	}

	return fmt.Sprintf("From %s until a new connection was %s.", from, want(samples))
}

func start(samples []measure.Sample) measure.StartSource {
	for _, sample := range samples {
		if sample.Start.Source != "" {
			return sample.Start.Source
		}
	}
	return ""
}

// account says how the pairs ended.
func account(summary measure.Summary) string {
	var parts []string
	for _, status := range measure.Statuses() {
		if n := summary.Account.Count(status); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}

	if summary.Leaks > 0 {
		parts = append(parts, measure.Plural(summary.Leaks, "leak"))
	}

	if summary.Flaps > 0 {
		parts = append(parts, measure.Plural(summary.Flaps, "flap"))
	}

	return strings.Join(parts, ", ")
}
