// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// TestVerdictOfWhatIsNotEnforced tells a cluster that enforces nothing from one that fails in one scenario.
func TestVerdictOfWhatIsNotEnforced(t *testing.T) {
	never := measure.Sample{Scenario: "policy-deny", Status: measure.Censored, Want: measure.StateBlocked}
	never.Probes[measure.Allowed] = 100
	moved := measure.Sample{Scenario: "pod-label", Status: measure.Measured, Start: measure.Start{Source: measure.StartWrite}}
	started := measure.Sample{Scenario: "pod-creation", Status: measure.Measured, Start: measure.Start{Source: measure.StartAddress}}
	tests := map[string]struct {
		samples []measure.Sample
		want    string
	}{
		"nothing else was run":               {[]measure.Sample{never}, "policy is not enforced at all"},
		"another change was seen":            {[]measure.Sample{never, moved}, "this policy is not enforced, others are"},
		"new pods could be reached in time":  {[]measure.Sample{never, started}, "policy is not enforced at all"},
		"a pair of the scenario was blocked": {[]measure.Sample{never, blockedOnce(never)}, "some pairs did not change in time"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := (&work{samples: test.samples, options: &runOptions{}}).verdict(io.Discard, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the verdict is %v; want %q", err, test.want)
			}
			if strings.Contains(test.want, "enforced") != errors.Is(err, errInvalid) {
				t.Errorf("the verdict %v has the wrong kind", err)
			}
		})
	}
}

func blockedOnce(sample measure.Sample) measure.Sample {
	sample.Probes[measure.Dropped] = 1
	return sample
}
