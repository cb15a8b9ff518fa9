// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Defaults of a prober.
const (
	DefaultInterval = 10 * time.Millisecond
	DefaultTimeout  = 500 * time.Millisecond
	DefaultMaxRate  = 5000
)

// Follower is told about the probes of one pair, in order and from one goroutine.
type Follower interface {
	// Launched is called before a probe is started. It was planned for an instant that is not later.
	Launched(at, planned time.Time)
	// Ended is called with the outcome of the probe launched at the instant. It returns true when
	// the pair needs no more probes.
	Ended(launched time.Time, outcome measure.Outcome) (done bool)
}

// Prober paces overlapping attempts. One Prober serves all pairs of a process, so that their number
// and the rate budget fix how often each is probed.
type Prober struct {
	attempt  Attempt
	schedule Schedule
	inFlight int
	pairs    atomic.Int64
}

// New returns a prober whose attempts end after about the time-out.
func New(attempt Attempt, schedule Schedule, timeout time.Duration) (*Prober, error) {
	if schedule.Interval <= 0 {
		return nil, fmt.Errorf("use probe interval %s: expected more than 0", schedule.Interval)
	}
	if schedule.MaxRate <= 0 {
		return nil, fmt.Errorf("use maximum probe rate %v: expected more than 0", schedule.MaxRate)
	}
	// As many as a silent target keeps waiting, and a few: only a server that opens connections
	// and does not answer them meets this bound.
	inFlight := int(timeout/schedule.Interval) + 16
	return &Prober{attempt: attempt, schedule: schedule, inFlight: inFlight}, nil
}

// launch is an attempt under way.
type launch struct {
	at      time.Time
	outcome measure.Outcome
}

// Follow probes the address until the follower is done, and returns nil, or until the context ends,
// and returns its error. No attempt of this pair is under way after that.
func (p *Prober) Follow(ctx context.Context, to netip.AddrPort, follower Follower) error {
	p.pairs.Add(1)
	defer p.pairs.Add(-1)
	var attempts sync.WaitGroup
	defer attempts.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	ended := make(chan launch, p.inFlight)
	under := 0
	planned := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	first := true
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case one := <-ended:
			under--
			if follower.Ended(one.at, one.outcome) {
				return nil
			}
		case <-timer.C:
			now := time.Now()
			if under < p.inFlight {
				under++
				follower.Launched(now, planned)
				attempts.Go(func() { ended <- launch{now, p.attempt(ctx, to)} })
			}
			interval := p.schedule.Between(int(p.pairs.Load()))
			planned = next(planned, now, interval)
			if first {
				// Pairs that begin together must not march in lockstep.
				planned = now.Add(rand.N(interval))
				first = false
			}
			timer.Reset(time.Until(planned))
		}
	}
}
