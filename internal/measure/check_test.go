// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A verdict that stays wrong is a finding of its own, fails the run and its result, and does not
// hide what is worse.
func TestChecked(t *testing.T) {
	changed := Sample{
		Scenario: "policy-deny", Status: Measured, Want: StateBlocked,
		Start: Start{Source: StartWrite, At: time.Unix(10, 0)},
		Bracket: Bracket{Lower: time.Unix(10, 0),
			Upper: time.Unix(11, 0)},
	}
	lost := Sample{Scenario: "policy-deny", Status: Unobserved, Reason: "its node died"}
	wrong := func(pods ...string) Check {
		check := Check{Pairs: 5}
		for _, pod := range pods {
			check.Wrong = append(check.Wrong, WrongPair{"ns/" + pod, "10.0.0.1:80", "blocked"})
		}
		return check
	}

	for _, test := range []struct {
		name     string
		samples  []Sample
		check    Check
		outcome  RunOutcome
		severity Severity
		text     string
	}{
		{"all are right", []Sample{changed}, wrong(), Passed, SeverityOK,
			"5 of 5 pairs of policy-deny are right after the last iteration"},
		{"one is wrong", []Sample{changed}, wrong("a"), WrongVerdict, SeverityCritical,
			"4 of 5 pairs of policy-deny are right after the last iteration, the others wrong " +
				"for good: ns/a (10.0.0.1:80) must be blocked"},
		{"many are wrong", []Sample{changed}, wrong("a", "b", "c", "d", "e"), WrongVerdict,
			SeverityCritical,
			"0 of 5 pairs of policy-deny are right after the last iteration, the others wrong " +
				"for good: ns/a (10.0.0.1:80) must be blocked, ns/b (10.0.0.1:80) must be " +
				"blocked, ns/c (10.0.0.1:80) must be blocked, 2 more"},
		{"some were not observed", []Sample{changed, lost}, wrong("a"), NotObserved,
			SeverityCritical, "4 of 5 pairs of policy-deny are right after the last iteration, " +
				"the others wrong for good: ns/a (10.0.0.1:80) must be blocked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Assess(test.samples, nil).Checked("policy-deny", "", test.check)
			found, ok := FindTopic(got.Findings, TopicVerdict)
			if !ok || found.Severity != test.severity || got.Outcome != test.outcome {
				t.Errorf("%v, %v; want %v, %v", got.Outcome, found.Severity, test.outcome,
					test.severity)
			}
			if diff := cmp.Diff(test.text, found.String()); diff != "" {
				t.Errorf("the finding (-want +got):\n%s", diff)
			}
			failure, failed := got.Results[0].Failure()
			if failed != (test.severity == SeverityCritical) ||
				failed && failure.Topic != TopicVerdict {
				t.Errorf("the result fails with %v, %v", failure, failed)
			}
		})
	}
}
