// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/trial"
)

// TestObserved finds the changes of every turn in the engine's log, and a client that probes and
// has processor time only while it is not halted. Of a block's changes one may come too late: the
// engine waits for a processor on a machine that is busy. How much slower the enforcement is for
// being observed is a benchmark's question.
func TestObserved(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	turns := trial.Turns{Count: 2, Changes: 6, Pause: 200 * time.Millisecond}
	told := 0
	found, err := newTrial(t, lab, "policy-creation", 5).Observe(ctx, turns, func(int) { told++ })
	must(t, err)
	if told != turns.Count || len(found.Blocks) != 2*turns.Count {
		t.Fatalf("told of %d turns, of %d blocks; want %d and %d", told, len(found.Blocks),
			turns.Count, 2*turns.Count)
	}
	if found.Misplaced > len(found.Blocks) {
		t.Errorf("%d changes are not in their block; want at most one of each", found.Misplaced)
	}
	probing := 0.
	for i, b := range found.Blocks {
		half := turns.Changes / 2
		for direction, changes := range map[string]int{
			"allowed": len(b.Allowed), "blocked": len(b.Blocked),
		} {
			if changes < half-1 || changes > half+1 {
				t.Errorf("block %d: %d changes to %s; want %d, and one more or less", i, changes,
					direction, half)
			}
		}
		if b.Probing {
			probing += b.Processor
			// of the moment until it is halted, in ticks of a hundredth of a second
		} else if b.Processor > 0.03 {
			t.Errorf("block %d: the halted client had %.2f s of a processor", i, b.Processor)
		}
	}
	if probing == 0 || found.Rate == 0 {
		t.Errorf("the client made %.0f probes/s with %.2f s of a processor; want it to probe",
			found.Rate, probing)
	}
}
