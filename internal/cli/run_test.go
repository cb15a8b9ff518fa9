// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// TestExitCodes ends runs by what their samples show. The table of all cases is measure's.
func TestExitCodes(t *testing.T) {
	never := measure.Sample{
		Scenario: "policy-deny", Setting: "ingress", Status: measure.Censored,
		Want: measure.StateBlocked,
	}
	never.Probes[measure.Allowed] = 100
	slow := never
	slow.Probes[measure.Dropped] = 1
	enforced := measure.Sample{
		Scenario: "policy-deny", Status: measure.Measured,
		Start: measure.Start{Source: measure.StartWrite},
	}
	enforced.Probes[measure.Dropped] = 100
	invalid := measure.Sample{Scenario: "policy-deny", Status: measure.Invalid,
		Reason: "precondition: x"}
	invalid.Probes[measure.Allowed], invalid.Probes[measure.Dropped] = 1, 1
	lost := measure.Sample{Scenario: "policy-deny", Status: measure.Unobserved,
		Reason: "its agent is gone"}
	threshold, err := measure.ParseThreshold("policy-deny.measured>=5")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		samples []measure.Sample
		code    int
		says    string
	}{
		{"nothing is blocked in one of two settings", []measure.Sample{never, enforced},
			ExitInvalid,
			"in policy-deny (ingress) not one probe was blocked: this policy is not enforced"},
		{"nothing is blocked at all", []measure.Sample{never}, ExitInvalid,
			"is policy enforced at all in this cluster?"},
		{"a pair was not proved", []measure.Sample{invalid, slow}, ExitInvalid,
			"some results are invalid: 1 of 2 pairs (precondition: x)"},
		{"a pair was too slow", []measure.Sample{slow, enforced}, ExitCensored,
			"some pairs did not change in time: 1 of 2 pairs"},
		{"nobody watched a pair", []measure.Sample{lost, slow, invalid}, ExitFailure,
			"some pairs were not observed: run it again: 1 of 3 pairs (its agent is gone)"},
		{"a threshold", []measure.Sample{enforced}, ExitThreshold,
			"a threshold failed: 1 of 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := (&work{samples: test.samples}).verdict(io.Discard,
				[]measure.Threshold{threshold})
			if exitCode(err) != test.code || err == nil ||
				!strings.Contains(err.Error(), test.says) {
				t.Errorf("exit code %d, %v; want %d and %q", exitCode(err), err, test.code,
					test.says)
			}
		})
	}
}
