// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// answeredRate is the most answered probes a second: at the full rate of the mode syn they would
// keep a processor busy, and the targets another.
const answeredRate = 20_000

// window is how long the engine is measured once it is warm.
const window = 500 * time.Millisecond

// engine measures a mode of the probing engine at a steady rate, which is that of the time just
// after a trigger: from one outcome to another, so that neither the start nor the probes whose
// outcome is unknown at the end count.
func engine(mode probe.Mode) func(context.Context, Turn) (Reading, error) {
	return func(ctx context.Context, turn Turn) (r Reading, err error) {
		schedule := probe.DefaultSchedule(mode)
		schedule.RelativeStep, schedule.MaxRate = 0, mode.DefaultMaxRate(probe.MinProcs)
		if turn.State == Answered {
			schedule.MaxRate = min(schedule.MaxRate, answeredRate)
		}
		e, err := probe.New(probe.Config{Mode: mode, Schedule: schedule,
			Timeout: probe.DefaultTimeout})
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, e.Close()) }()
		t := newOutcomeCounter(e, 2*turn.Pairs, int(schedule.MaxRate*window.Seconds()))
		for _, to := range turn.State.targets(turn.Pairs) {
			e.Add(to, t).Trigger(time.Now())
		}
		return t.measure(ctx)
	}
}

// outcomeCounter follows all pairs of an engine and counts their outcomes.
type outcomeCounter struct {
	engine       *probe.Engine
	count        atomic.Int64
	warm, enough int64
	reached      chan struct{}
}

func newOutcomeCounter(e *probe.Engine, warm, probes int) *outcomeCounter {
	return &outcomeCounter{engine: e, warm: int64(warm), enough: int64(warm + probes),
		reached: make(chan struct{}, 2)}
}

// OnOutcome implements [probe.Observer].
func (c *outcomeCounter) OnOutcome(measure.Outcome) bool {
	if n := c.count.Add(1); n == c.warm || n == c.enough {
		c.reached <- struct{}{}
	}
	return false
}

// OnOverdue implements [probe.Observer].
func (c *outcomeCounter) OnOverdue(int, time.Time) {}

// OnStopped implements [probe.Observer].
func (c *outcomeCounter) OnStopped() {}

// measure waits until everything that grows has grown, and measures the outcomes that follow.
func (c *outcomeCounter) measure(ctx context.Context) (Reading, error) {
	if err := c.await(ctx); err != nil {
		return Reading{}, err
	}
	return spend(func() (int64, error) {
		sent, ended := c.engine.Stats().Sent, c.count.Load()
		err := c.await(ctx)
		// A machine that is busy otherwise may delay one more than the other.
		return min(int64(c.engine.Stats().Sent-sent), c.count.Load()-ended), err
	})
}

// await waits until the count has reached the next of its marks.
func (c *outcomeCounter) await(ctx context.Context) error {
	select {
	case <-c.reached:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for %d outcomes: there are %d: %w", c.enough, c.count.Load(),
			ctx.Err())
	}
}
