// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// An engine that filters in user space is measured at the pace that it bears, whether the old state
// answers or not: nothing is false, and the truth log of its rules is in every bracket. At the
// default rate its queue is full within a second, and nearly every result is false. With VERDICTS,
// ITERATIONS and TARGETS in the environment it is a benchmark (docs/engine.md).
func TestRunQueueEngine(t *testing.T) {
	t.Parallel()
	verdicts := fromEnvironment(t, "VERDICTS", 500)
	iterations, targets := fromEnvironment(t, "ITERATIONS", 1), fromEnvironment(t, "TARGETS", 10)
	lab := labtest.Start(t, "--engine", "queue", "--verdicts", strconv.Itoa(verdicts), "--delay",
		"100ms")
	results := map[string]int{"policy-creation": 1, "policy-deny": 1} // of a target in a round
	if iterations > 1 {
		results["policy-deletion"] = 2 // what it denied, and what it allowed
	}
	for _, scenario := range slices.Sorted(maps.Keys(results)) {
		samples, output := measureRun(t, lab, exitOK, scenario,
			"--targets="+strconv.Itoa(targets), "--repeat="+strconv.Itoa(iterations))
		if want := iterations * targets * results[scenario]; len(samples) != want {
			t.Errorf("%s: %d samples; want %d", scenario, len(samples), want)
		}
		expectTrue(t, lab, samples, "TCP")
		t.Log(output)

		for _, sample := range samples {
			if sample.FlapCount > 0 || sample.ProbeRate >= float64(verdicts) ||
				sample.RoundTrip == 0 {
				t.Errorf("%s, pod %s: %d flaps, at %g probes a second and a round trip of %s; "+
					"want none, and fewer than %d", scenario, sample.Target.Pod.Name,
					sample.FlapCount, sample.ProbeRate, sample.RoundTrip, verdicts)
			}
		}
		limit := "the path: round trips rose"
		if verdicts <= 2000 && !strings.Contains(output, limit) {
			t.Errorf("the output does not say %q:\n%s", limit, output)
		}
	}
	lab.Set("--delay", "0s") // the settings are those of the reference engine
}
