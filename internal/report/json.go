// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// jsonSchema is the version of the JSON report, which docs/report.md describes.
const jsonSchema = 2

type jsonReport struct {
	Schema int       `json:"schema"`
	Runs   []jsonRun `json:"runs"`
}

type jsonRun struct {
	Run        result.Run      `json:"run"`
	Outcome    string          `json:"outcome"`
	Reason     string          `json:"reason,omitempty"`
	Findings   []jsonFinding   `json:"findings"`
	Results    []jsonResult    `json:"results"`
	Thresholds []jsonThreshold `json:"thresholds"`
	// Disruptions are what happened in iterations that are no change.
	Disruptions []jsonDisruption `json:"disruptions,omitempty"`
}

type jsonDisruption struct {
	result.Event
	Scenario string       `json:"scenario"`
	Setting  string       `json:"setting,omitempty"`
	Totals   []jsonTotal  `json:"totals"`
	Breaches []jsonBreach `json:"breaches"`
}

type jsonTotal struct {
	Node string `json:"node"`
	Kind string `json:"kind"`
	*result.Disruption
}

// jsonBreach is an outage or a hole, in nanoseconds after the beginning of the event.
type jsonBreach struct {
	What      string         `json:"what"`
	Kind      string         `json:"kind"`
	Node      string         `json:"node"`
	Client    string         `json:"client"`
	Target    string         `json:"target"`
	LastGood  time.Duration  `json:"lastGoodNs"`
	FirstBad  time.Duration  `json:"firstBadNs"`
	LastBad   time.Duration  `json:"lastBadNs"`
	FirstGood *time.Duration `json:"firstGoodNs,omitempty"`
	Probes    uint64         `json:"probes"`
	Merged    int            `json:"merged,omitempty"`
}

func jsonDisruptions(all []Disruption) []jsonDisruption {
	var found []jsonDisruption
	for _, d := range all {
		one := jsonDisruption{Event: d.Event, Scenario: d.Scenario, Setting: d.Setting,
			Totals: []jsonTotal{}, Breaches: []jsonBreach{}}
		for _, t := range d.Totals {
			one.Totals = append(one.Totals, jsonTotal{t.Node, t.Kind.String(),
				result.DisruptionOf(t.Disruption)})
		}
		for _, b := range d.Breaches {
			one.Breaches = append(one.Breaches, jsonBreachOf(b))
		}
		found = append(found, one)
	}
	return found
}

func jsonBreachOf(b Breach) jsonBreach {
	one := jsonBreach{
		What: b.Sample.Kind.BreachName(), Kind: b.Sample.Kind.String(), Node: b.Node,
		Client: object(b.Sample.Client), Target: object(b.Sample.Target.Pod),
		Probes: b.Probes, Merged: b.Merged,
	}
	one.LastGood, one.FirstBad = b.Began()
	lastBad, firstGood := b.Ended()
	if one.LastBad = lastBad; !b.Open() {
		one.FirstGood = &firstGood
	}
	return one
}

type jsonResult struct {
	result.Summary
	Findings   []jsonFinding    `json:"findings"`
	Iterations []result.Summary `json:"rounds"`
	Place      Place            `json:"place,omitempty"`
}

type jsonFinding struct {
	Topic    measure.Topic `json:"topic"`
	Severity string        `json:"severity"`
	Scenario string        `json:"scenario,omitempty"`
	Setting  string        `json:"setting,omitempty"`
	Count    int           `json:"count"`
	Of       int           `json:"of,omitempty"`
	Text     string        `json:"text"`
}

func jsonFindings(findings []measure.Finding) []jsonFinding {
	all := []jsonFinding{}
	for _, one := range findings {
		all = append(all, jsonFinding{
			Topic: one.Topic, Severity: one.Severity.String(), Scenario: one.Scenario,
			Setting: one.Setting,
			Count:   one.Count, Of: one.Of, Text: one.String(),
		})
	}
	return all
}

type jsonThreshold struct {
	Threshold string `json:"threshold"`
	Scenario  string `json:"scenario"`
	Setting   string `json:"setting,omitempty"`
	Passed    bool   `json:"holds"`
	Text      string `json:"text"`
}

// JSON writes everything but the samples: the runs, what they show, their results with those of
// each iteration, their thresholds.
func JSON(w io.Writer, reports []Report) error {
	all := jsonReport{Schema: jsonSchema}
	for _, report := range reports {
		all.Runs = append(all.Runs, jsonOf(report))
	}
	return writeJSON(w, all)
}

func jsonOf(report Report) jsonRun {
	assessment := report.Assessment
	run := jsonRun{
		Run: report.Run, Outcome: assessment.Outcome.String(), Reason: assessment.Reason,
		Findings: jsonFindings(assessment.Findings), Thresholds: []jsonThreshold{},
		Disruptions: jsonDisruptions(report.Disruptions()),
	}

	for _, one := range report.Results {
		found := jsonResult{
			Summary: result.Digest(one.Summary), Findings: jsonFindings(one.Findings),
			Place: one.Places.Only(),
		}
		for _, iteration := range one.Iterations {
			found.Iterations = append(found.Iterations, result.Digest(iteration))
		}
		run.Results = append(run.Results, found)
	}

	for _, one := range assessment.Thresholds {
		run.Thresholds = append(run.Thresholds, jsonThreshold{
			Threshold: one.Threshold.String(), Scenario: one.Summary.Scenario,
			Setting: one.Summary.Setting,
			Passed:  one.Passed, Text: one.Text,
		})
	}

	return run
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
