// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"strings"
)

// Check is what the pairs of a scenario do once nothing changes any more.
type Check struct {
	// Pairs is of how many something was seen.
	Pairs int `json:"pairs"`
	// Wrong are those that were never seen as policy wants them to be, although they were watched
	// for as long as a change may take.
	Wrong []WrongPair `json:"wrong,omitempty"`
}

// WrongPair is a pair that is not as policy wants it to be.
type WrongPair struct {
	// Pod is the namespace and the name of the target, Address what was probed, Want the state that
	// it must be in.
	Pod     string `json:"pod"`
	Address string `json:"address"`
	Want    string `json:"want"`
}

// String is the pair in a list.
func (w WrongPair) String() string {
	return fmt.Sprintf("%s (%s) must be %s", w.Pod, w.Address, w.Want)
}

// shownWrong is how many pairs are named.
const shownWrong = 3

// finding says how the check of a scenario, in a setting, has ended.
func (c Check) finding(scenario, setting string) Finding {
	found := Finding{
		Topic: TopicVerdict, Severity: SeverityOK, Scenario: scenario, Setting: setting,
		Count: c.Pairs - len(c.Wrong), Of: c.Pairs,
		Text: "pairs of " + ResultName(scenario, setting) + " are right after the last iteration",
	}
	if len(c.Wrong) == 0 {
		return found
	}

	var names []string
	for _, one := range c.Wrong[:min(shownWrong, len(c.Wrong))] {
		names = append(names, one.String())
	}
	if more := len(c.Wrong) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	found.Severity = SeverityCritical
	found.Text += ", the others wrong for good: " + strings.Join(names, ", ")
	return found
}

// Checked is the assessment with the check of a scenario, in a setting. A verdict that stays wrong
// fails the run, and the first of the scenario's results.
func (a Assessment) Checked(scenario, setting string, check Check) Assessment {
	finding := check.finding(scenario, setting)
	a.Findings = append(a.Findings, finding)
	for i, one := range a.Results {
		name, _, _ := strings.Cut(one.Summary.Scenario, "/")
		if name == scenario && one.Summary.Setting == setting {
			a.Results[i].Findings = append(a.Results[i].Findings, finding)
			break
		}
	}

	if len(check.Wrong) > 0 && (a.Outcome == Passed || a.Outcome == ThresholdFailed) {
		a.Outcome, a.Reason = WrongVerdict, finding.String()
	}
	return a
}
