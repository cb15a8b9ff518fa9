// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats are an engine's counters since its start.
type Stats struct {
	// Sent counts the probes that were launched, Skipped those that were not because too many were
	// in flight.
	Sent, Skipped uint64
	// Late is the sum of the delays of all launches against their plan, and MaxLateness the
	// longest.
	Late, MaxLateness time.Duration
}

// counters are what anyone may read of a worker's statistics. They are brought up to date once for
// many probes.
type counters struct{ sent, skipped, late, latest atomic.Int64 }

func (c *counters) load() Stats {
	return Stats{
		Sent: uint64(c.sent.Load()), Skipped: uint64(c.skipped.Load()),
		Late: time.Duration(c.late.Load()), MaxLateness: time.Duration(c.latest.Load()),
	}
}

func (c *counters) store(s Stats) {
	c.sent.Store(int64(s.Sent))
	c.skipped.Store(int64(s.Skipped))
	c.late.Store(int64(s.Late))
	c.latest.Store(int64(s.MaxLateness))
}

// published is what others may know of a pace.
type published struct {
	mu   sync.Mutex
	pace Pace
	next instant
}

// publishEvery is how often it is brought up to date.
const publishEvery = 20 * time.Millisecond

func (p *published) store(pace *pace, now instant) {
	if now < p.next && pace.searching == !p.pace.Found && pace.rate == p.pace.Rate {
		return
	}
	p.next = now + instant(publishEvery)
	state := pace.state()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = state
}

func (p *published) load() Pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pace
}
