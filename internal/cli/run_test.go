// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
			err := (&work{samples: test.samples}).evaluate(io.Discard,
				[]measure.Threshold{threshold})
			if exitCode(err) != test.code || err == nil ||
				!strings.Contains(err.Error(), test.says) {
				t.Errorf("exit code %d, %v; want %d and %q", exitCode(err), err, test.code,
					test.says)
			}
		})
	}
}

// TestRecordHasNoSecrets leaves out of run.json what others could use.
func TestRecordHasNoSecrets(t *testing.T) {
	line := strings.Fields("run policy-deny --token abc --context kind --token=abc --proxy-url " +
		"http://me:abc@proxy --targets 5")
	want := strings.Fields("run policy-deny --token … --context kind --token=… " +
		"--proxy-url … --targets 5")
	if diff := cmp.Diff(want, withoutSecrets(line)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}

// TestSlowRemoval ends runs of which something is left: what was measured is evaluated all the
// same, and a run that passes is no success.
func TestSlowRemoval(t *testing.T) {
	left := errors.New("delete namespace x: it is not gone after 2m0s")
	for _, test := range []struct {
		name, threshold string
		code            int
	}{
		{"passed", "policy-deny.leaks==0", ExitFailure},
		{"failed", "policy-deny.measured==2", ExitThreshold},
	} {
		t.Run(test.name, func(t *testing.T) {
			limit, err := measure.ParseThreshold(test.threshold)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			sample := measure.Sample{Scenario: "policy-deny", Status: measure.Measured,
				Kind: measure.KindNew, Iteration: 1}
			sample.Bracket = measure.Bracket{Lower: now, Upper: now.Add(time.Millisecond)}
			w := work{samples: []measure.Sample{
				sample.WithStart(measure.Start{Source: measure.StartRead, At: now}, 0)}}
			var out strings.Builder
			err = w.conclude(&out, nil, left, []measure.Threshold{limit})
			if got := exitCode(err); got != test.code || !errors.Is(err, left) {
				t.Errorf("it ends with %d: %v; want %d, and what is left:\n%s", got, err, test.code,
					&out)
			}
		})
	}
}
