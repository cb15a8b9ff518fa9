// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// An engine that judges in user space is measured at the pace that it bears, whether the old state
// answers or not: nothing is false, and the truth log of its rules is in every bracket. At the
// default rate its queue is full within a second, and nearly every result is false.
func TestRunQueueEngine(t *testing.T) {
	t.Parallel()
	const verdicts = 500
	lab := labtest.Start(t, "--engine", "queue", "--verdicts", "500", "--delay", "100ms")
	samples, output := measureRun(t, lab, exitOK, "policy-creation", "policy-deny", "--targets=10")
	if len(samples) != 20 {
		t.Errorf("%d samples; want 20", len(samples))
	}
	expectTrue(t, lab, samples, "TCP")

	for _, sample := range samples {
		if sample.FlapCount > 0 || sample.ProbeRate >= verdicts || sample.RoundTrip == 0 {
			t.Errorf("%s, pod %s: %d flaps, at %g probes a second and a round trip of %s; want "+
				"none, and fewer than %d", sample.Scenario, sample.Target.Pod.Name,
				sample.FlapCount, sample.ProbeRate, sample.RoundTrip, verdicts)
		}
	}
	if limit := "the path: round trips rose"; !strings.Contains(output, limit) {
		t.Errorf("the output does not say %q:\n%s", limit, output)
	}
	lab.Set("--delay", "0s") // the settings are those of the reference engine
}
