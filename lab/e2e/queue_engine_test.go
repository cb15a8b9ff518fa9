// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// An engine that judges in user space is measured, and the truth log of its rules is in every
// bracket: a packet is judged when it leaves the queue.
func TestRunQueueEngine(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--engine", "queue", "--verdicts", "20000", "--delay", "100ms")
	samples, _ := measureRun(t, lab, exitOK, "policy-deny", "--targets=3")
	if len(samples) != 3 {
		t.Errorf("%d samples; want 3", len(samples))
	}
	expectTrue(t, lab, samples, "TCP")
	lab.Set("--delay", "0s") // the settings are those of the reference engine
}
