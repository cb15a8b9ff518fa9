// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"io"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// mostObserved is how much slower the enforcement may be for being observed, mostMisplaced what
// part of the changes may not be where they should in the engine's log.
const (
	mostObserved  = 1.10
	mostMisplaced = 0.02
)

// Observation is how long the engine took for changes beside a client that probes, and beside the
// same one halted.
type Observation struct {
	Blocks []Block
	// Pause was before each change.
	Pause time.Duration
	// Rate is how many probes a second the client made while it ran.
	Rate float64
	// Misplaced is how many changes the engine's log does not have in their block, since they came
	// too late for it or into one commit with another.
	Misplaced int
}

// Block is a row of changes that the engine enforced while the client probed, or while it was
// halted.
type Block struct {
	Probing bool
	// Processor is how much processor time the client had, in seconds.
	Processor float64
	// Allowed and Blocked are how long the engine took for each change of a direction, by its own
	// log.
	Allowed, Blocked []time.Duration
	start, end       time.Time
}

// add takes a change into the block, if it is one of the block's.
func (b *Block) add(at time.Time, allowed bool, took time.Duration) {
	if at.Before(b.start) || at.After(b.end) {
		return
	}
	if allowed {
		b.Allowed = append(b.Allowed, took)
	} else {
		b.Blocked = append(b.Blocked, took)
	}
}

// took are the times of one direction in all blocks of one kind.
func (o Observation) took(allowed, probing bool) measure.Distribution {
	var all []time.Duration
	for _, b := range o.Blocks {
		switch {
		case b.Probing != probing:
		case allowed:
			all = append(all, b.Allowed...)
		default:
			all = append(all, b.Blocked...)
		}
	}
	return measure.NewDistribution(all)
}

// processor is the share of one processor that the client had in the blocks of one kind.
func (o Observation) processor(probing bool) float64 {
	var had, lasted float64
	for _, b := range o.Blocks {
		if b.Probing == probing {
			had += b.Processor
			lasted += b.end.Sub(b.start).Seconds()
		}
	}
	return had / lasted
}

// compare writes both kinds of blocks beside each other, and fails if the median of one direction
// was slower by more than is allowed.
func (o Observation) compare(out io.Writer) error {
	fmt.Fprintf(out, "the client made %.0f probes/s with %.0f %% of a processor, and %.0f %% "+
		"while it was halted\n",
		o.Rate, 100*o.processor(true), 100*o.processor(false))
	if o.Misplaced > 0 {
		fmt.Fprintf(out, "%d changes were too late for their block, or came into one commit with "+
			"another\n", o.Misplaced)
	}

	var worst float64
	changes := o.Misplaced
	for _, allowed := range []bool{true, false} {
		halted, probing := o.took(allowed, false), o.took(allowed, true)
		changes += len(halted) + len(probing)
		to := map[bool]string{true: "allowed", false: "blocked"}[allowed]
		for _, q := range []float64{.5, .9, .99} {
			ratio := float64(probing.Quantile(q)) / float64(halted.Quantile(q))
			fmt.Fprintf(out, "to %s: p%.0f of %d changes: %s alone, %s while probing: ratio %.3f\n",
				to, 100*q, len(halted),
				measure.FormatDuration(halted.Quantile(q)),
				measure.FormatDuration(probing.Quantile(q)), ratio)
			if q == .5 {
				worst = max(worst, ratio)
			}
		}
	}

	if float64(o.Misplaced) > mostMisplaced*float64(changes) {
		return fmt.Errorf("find the commits of %d changes: %d came too late; the engine is too "+
			"slow for one every %s", changes,
			o.Misplaced, o.Pause)
	}

	if worst > mostObserved {
		return fmt.Errorf("leave what is observed undisturbed: enforcement took %.2f times as "+
			"long; the limit is %.2f",
			worst, mostObserved)
	}

	return nil
}
