// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// The kernel announces every commit of an engine: each change of a verdict that the truth log has,
// and so every bracket, contains an announcement. What a witness says of the engine whose truth is
// known it says of others.
func TestWitness(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--delay", "50ms", "--witness")
	samples, _ := measureRun(t, lab, exitOK, "policy-creation", "policy-deny", "--targets=4")
	expectTrue(t, lab, samples, "TCP")

	commits, err := truth.ReadCommits(lab.Commits)
	must(t, err)
	for i, flips := range flipsOf(t, lab, samples, "TCP") {
		for _, flip := range flips {
			if !truth.Witnessed(commits, flip.Before, flip.After) {
				t.Errorf("pod %s: no announcement of the commit [%s, %s]",
					samples[i].Target.Pod.Name, stamp(flip.Before), stamp(flip.After))
			}
		}
		expectWitnessed(t, commits, samples[i])
	}
}

// expectWitnessed checks that a sample's bracket contains a commit that the kernel announced.
func expectWitnessed(t *testing.T, commits []truth.Commit, sample measure.Sample) {
	t.Helper()
	if !truth.Witnessed(commits, sample.Bracket.Lower, sample.Bracket.Upper) {
		t.Errorf("%s, pod %s: no commit is in the bracket [%s, %s]", sample.Scenario,
			sample.Target.Pod.Name, stamp(sample.Bracket.Lower), stamp(sample.Bracket.Upper))
	}
}
