// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "slices"

// Evaluation is how a threshold stands for one summary.
type Evaluation struct {
	Threshold Threshold
	Summary   Summary
	Passed    bool
	// Text says so in one line.
	Text string
}

// EvaluateAll evaluates each threshold for each summary that it is about. One that is about nothing
// that there is, because the run ended before, is failed.
func EvaluateAll(thresholds []Threshold, summaries []Summary) []Evaluation {
	var all []Evaluation
	for _, threshold := range thresholds {
		about := slices.DeleteFunc(slices.Clone(summaries), func(s Summary) bool {
			return !threshold.About(s)
		})
		if len(about) == 0 {
			about = []Summary{{Scenario: threshold.Name()}}
		}
		for _, summary := range about {
			passed, text := threshold.Evaluate(summary)
			if more := threshold.which(summary); more != "" {
				text += " (" + more + ")"
			}
			all = append(all, Evaluation{Threshold: threshold, Summary: summary, Passed: passed,
				Text: text})
		}
	}

	return all
}

// finding is the evaluation as a finding.
func (j Evaluation) finding() Finding {
	return Finding{
		Topic: TopicThreshold, Severity: j.Severity(), Text: j.Text,
		Scenario: j.Summary.Scenario, Setting: j.Summary.Setting,
	}
}

// Severity is how much the evaluation wants attention.
func (j Evaluation) Severity() Severity {
	if j.Passed {
		return SeverityOK
	}
	return SeverityCritical
}

// Failed are those of the evaluations that failed.
func Failed(all []Evaluation) []Evaluation {
	return slices.DeleteFunc(slices.Clone(all), func(one Evaluation) bool { return one.Passed })
}

// which tells a summary apart from others that the threshold is about.
func (t Threshold) which(summary Summary) string {
	name := ""
	if summary.Scenario != t.Name() {
		name = summary.Scenario
	}
	if name == "" || summary.Setting == "" {
		return name + summary.Setting
	}
	return name + ", " + summary.Setting
}
