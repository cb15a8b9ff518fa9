// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Turns says how an observation goes: in so many turns of two blocks, one while the client probes
// and one while it is halted, of so many changes each, and with so long a time before each change.
//
// Blocks are to be short, so that both kinds see the machine in the same state: over a minute it
// drifts by more than what is looked for.
type Turns struct {
	Count   int
	Changes int
	Pause   time.Duration
}

// A block of "make observer" has so many changes, and so long a time before each of them beside the
// engine's delay.
const (
	blockChanges = 32
	blockPause   = 30 * time.Millisecond
)

// observe has the engine enforce changes beside a client that probes and beside the same one
// halted, and compares how long it took.
func (o options) observe(ctx context.Context, out io.Writer, t Trial, delay time.Duration) error {
	if t.Scenario != policyCreation {
		return fmt.Errorf("observe %s: expected --scenario %s, whose client goes on probing",
			t.Scenario, policyCreation)
	}
	turns := Turns{Count: o.runs, Changes: blockChanges, Pause: blockPause + delay}
	found, err := t.Observe(ctx, turns, func(turn int) {
		if turn%10 == 0 || turn == o.runs {
			fmt.Fprintf(out, "  turn %d of %d\n", turn, o.runs)
		}
	})
	if err != nil {
		return err
	}

	return found.compare(out)
}

// Observe has the engine enforce changes in turns, and tells of each turn that is done. What
// changes is the traffic of a pod beside the client, to the same targets: so that the client's own
// pairs stay as they are, and go on being probed.
func (t Trial) Observe(
	ctx context.Context, turns Turns, done func(turn int),
) (found Observation, err error) {
	// The full rate is that of the time just after a trigger.
	t.ClientArgs = append(slices.Clone(t.ClientArgs), "--relative-resolution=0")
	defer func() { err = errors.Join(err, t.Remove(context.WithoutCancel(ctx))) }()

	if err := t.Setup(ctx); err != nil {
		return found, err
	}
	if t.Agent {
		if err := t.startAgent(ctx); err != nil {
			return found, err
		}
	}
	control, err := t.newControlPod(ctx)
	if err != nil {
		return found, err
	}

	p, err := t.prober(ctx)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, p.run()) }() // what is halted could not end in good order

	before, err := p.probes(ctx)
	if err != nil {
		return found, err
	}
	found.Pause = turns.Pause
	start := time.Now()
	for turn := range turns.Count {
		for _, probing := range []bool{turn%2 == 0, turn%2 != 0} {
			b, err := turns.block(ctx, control, p, probing)
			if err != nil {
				return found, fmt.Errorf("turn %d: %w", turn+1, err)
			}
			if found.Blocks = append(found.Blocks, b); !probing {
				// as if the time had stood still for the client
				start = start.Add(b.end.Sub(b.start))
			}
		}
		done(turn + 1)
	}

	lasted := time.Since(start)
	after, err := p.probes(ctx)
	if err != nil {
		return found, err
	}

	found.Rate = (after - before) / lasted.Seconds()
	found.Misplaced, err = control.evaluate(found.Blocks, turns.Changes)
	return found, err
}

// block makes changes while the client probes or is halted.
func (turns Turns) block(
	ctx context.Context, control controlPod, p prober, probing bool,
) (b Block, err error) {
	do := p.halt
	if probing {
		do = p.run
	}
	if err := do(); err != nil {
		return b, err
	}

	before, err := p.seconds()
	if err != nil {
		return b, err
	}
	b.Probing, b.start = probing, time.Now()
	if err := control.changes(ctx, turns.Changes, turns.Pause); err != nil {
		return b, err
	}

	b.end = time.Now()
	after, err := p.seconds()
	b.Processor = after - before
	return b, errors.Join(err, p.run())
}
