// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "slices"

// Judgement is how a threshold stands for one summary.
type Judgement struct {
	Threshold Threshold
	Summary   Summary
	Holds     bool
	// Text says so in one line.
	Text string
}

// JudgeAll holds each threshold against each summary that it is about. One that is about nothing
// that there is, because the run ended before, is missed.
func JudgeAll(thresholds []Threshold, summaries []Summary) []Judgement {
	var all []Judgement
	for _, threshold := range thresholds {
		about := slices.DeleteFunc(slices.Clone(summaries), func(s Summary) bool {
			return !threshold.About(s)
		})
		if len(about) == 0 {
			about = []Summary{{Scenario: threshold.Name()}}
		}
		for _, summary := range about {
			holds, text := threshold.Judge(summary)
			if more := threshold.which(summary); more != "" {
				text += " (" + more + ")"
			}
			all = append(all, Judgement{Threshold: threshold, Summary: summary, Holds: holds,
				Text: text})
		}
	}
	return all
}

// finding is the judgement as a finding.
func (j Judgement) finding() Finding {
	found := Finding{
		Topic: TopicThreshold, Severity: SeverityCritical, Text: j.Text,
		Scenario: j.Summary.Scenario, Setting: j.Summary.Setting,
	}
	if j.Holds {
		found.Severity = SeverityOK
	}
	return found
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
