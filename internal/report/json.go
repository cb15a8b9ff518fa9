// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/netpol-latency/netpol-latency/internal/result"
)

// jsonSchema is the version of the JSON report, which docs/report.md describes.
const jsonSchema = 1

type jsonReport struct {
	Schema int       `json:"schema"`
	Runs   []jsonRun `json:"runs"`
}

type jsonRun struct {
	Run        result.Run      `json:"run"`
	Results    []jsonResult    `json:"results"`
	Thresholds []jsonThreshold `json:"thresholds"`
}

type jsonResult struct {
	result.Summary
	Rounds []result.Summary `json:"rounds"`
	Place  Place            `json:"place,omitempty"`
}

type jsonThreshold struct {
	Threshold string `json:"threshold"`
	Scenario  string `json:"scenario"`
	Setting   string `json:"setting,omitempty"`
	Holds     bool   `json:"holds"`
	Text      string `json:"text"`
}

// JSON writes everything but the samples: the runs, their results with those of each round, their thresholds.
func JSON(w io.Writer, sources []Source) error {
	all := jsonReport{Schema: jsonSchema}
	for _, source := range sources {
		one := jsonRun{Run: source.Run, Thresholds: []jsonThreshold{}}
		for i, summary := range source.Summaries() {
			found := jsonResult{Summary: result.Digest(summary), Place: source.Place(summary)}
			for _, round := range source.Rounds()[i] {
				found.Rounds = append(found.Rounds, result.Digest(round))
			}
			one.Results = append(one.Results, found)
		}
		for _, judged := range source.Judgements() {
			one.Thresholds = append(one.Thresholds, jsonThreshold{
				Threshold: judged.Threshold.String(), Scenario: judged.Summary.Scenario, Setting: judged.Summary.Setting,
				Holds: judged.Holds, Text: judged.Text,
			})
		}
		all.Runs = append(all.Runs, one)
	}
	return writeJSON(w, all)
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
