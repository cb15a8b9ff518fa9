// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// However far the runner is, and it is as far as the lab was told: what the trigger changes is read
// by the agents, near the API server, the states on the way to the old one are not taken for it,
// and every bracket is true.
func TestRunFromAfar(t *testing.T) {
	t.Parallel()
	const roundTrip = 100 * time.Millisecond
	lab := labtest.Start(t, "--delay", "300ms", "--runner-delay", roundTrip.String())
	expectRoundTrip(t, lab, roundTrip)

	suite := filepath.Join(t.TempDir(), "suite.yaml")
	must(t, os.WriteFile(suite, []byte(`
targets: 5
clock: exchange
runs:
  - {scenario: policy-creation, repeat: 2}
  - {scenario: policy-deny}
  - {scenario: policy-update}
  - {scenario: pod-label}
  - {scenario: namespace-label}
`), 0o600))
	samples, _ := measureRun(t, lab, exitOK, "-c", suite)
	if want := 5 * (2 + 1 + 3*3 + 2 + 2); len(samples) != want {
		t.Errorf("%d samples; want %d", len(samples), want)
	}
	expectTrue(t, lab, samples, "TCP")
	finest := time.Hour
	for _, sample := range samples {
		want := measure.StartWatchRead
		if strings.HasPrefix(sample.Scenario, "namespace-label") {
			want = measure.StartRead // who may watch one namespace may watch all
		}
		if sample.Start.Source != want {
			t.Errorf("%s counts from %q; want %q", sample.Scenario, sample.Start.Source, want)
		}
		finest = min(finest, sample.Start.Uncertainty)
		if sample.Kind != measure.KindBlocked && sample.Latency().Lower < 0 {
			t.Errorf("%s: the latency is from %s on; want none below zero", sample.Scenario,
				sample.Latency().Lower)
		}
	}
	// The write takes a round trip, and its place on the agent's clock is as uncertain again. The
	// best of all counts: on a busy machine a read can take as long.
	if finest >= roundTrip {
		t.Errorf("the start is known to %s at best; want less than the round trip, %s", finest,
			roundTrip)
	}
}
