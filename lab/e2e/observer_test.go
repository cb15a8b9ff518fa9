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

// TestObserved finds every change of every turn in the engine's log, and a client that probes and
// has processor time only while it is not halted. Where an engine gets no processor for a while
// changes come too late: it is observed anew then, which at last has to succeed. How much slower
// the enforcement is for being observed is a benchmark's question.
func TestObserved(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	turns := trial.Turns{Count: 2, Changes: 6, Pause: 200 * time.Millisecond}
	var found trial.Observation
	told := 0
	for range 4 {
		var err error
		told = 0
		found, err = newTrial(t, lab, "policy-creation", 5).Observe(ctx, turns,
			func(int) { told++ })
		must(t, err)
		if found.Misplaced == 0 {
			break
		}
	}
	if told != turns.Count || len(found.Blocks) != 2*turns.Count {
		t.Fatalf("told of %d turns, of %d blocks; want %d and %d", told, len(found.Blocks),
			turns.Count, 2*turns.Count)
	}
	if found.Misplaced != 0 {
		t.Errorf("%d changes are not in their block; want none", found.Misplaced)
	}
	probing := 0.
	for i, b := range found.Blocks {
		if allowed, blocked := len(b.Allowed), len(b.Blocked); allowed != turns.Changes/2 ||
			blocked != turns.Changes/2 {
			t.Errorf("block %d: %d changes to allowed and %d to blocked; want %d of each", i,
				allowed, blocked, turns.Changes/2)
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
