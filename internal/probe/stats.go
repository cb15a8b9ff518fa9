// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
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
type counters struct{ sent, skipped, late, maxLateness atomic.Int64 }

func (c *counters) load() Stats {
	return Stats{
		Sent: uint64(c.sent.Load()), Skipped: uint64(c.skipped.Load()),
		Late: time.Duration(c.late.Load()), MaxLateness: time.Duration(c.maxLateness.Load()),
	}
}

func (c *counters) store(s Stats) {
	c.sent.Store(int64(s.Sent))
	c.skipped.Store(int64(s.Skipped))
	c.late.Store(int64(s.Late))
	c.maxLateness.Store(int64(s.MaxLateness))
}

// published is what others may know of a pace.
type published struct {
	mu    sync.Mutex
	state pace.State
	rate  float64 // of the path
	next  instant
}

// publishEvery is how often it is brought up to date.
const publishEvery = 20 * time.Millisecond

func (p *published) store(finder *pace.Finder, tracking *conntrack, now instant) {
	if now < p.next && finder.Searching() == !p.state.Found && finder.Rate() == p.rate {
		return
	}
	p.next, p.rate = now+instant(publishEvery), finder.Rate()
	state := tracking.qualify(finder.State(), now)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
}

func (p *published) load() pace.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}
