// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// silence is a network that replies at once, or not as long as it is silent: what was asked
// meanwhile it can answer late.
type silence struct {
	shuffled
	silent atomic.Bool
}

func (m *silence) launch(batch []int32, replies []reply) []reply {
	for _, i := range batch {
		e := &m.table.entries[i]
		e.sent = m.clock.now()
		e.sentBy = e.sent
		m.flying = append(m.flying, timer{entry: i, use: e.use})
	}
	return replies
}

func (m *silence) poll(replies []reply) []reply {
	if m.silent.Load() {
		return replies
	}
	for _, t := range m.flying {
		if m.table.runs(t) {
			replies = append(replies, reply{entry: t.entry, verdict: measure.Allowed,
				at: m.clock.now()})
		}
	}
	m.flying = m.flying[:0]
	return replies
}

// hint is what a observer was told: of replies that are overdue, or of an outcome.
type hint struct {
	overdue int
	verdict measure.Verdict
	ended   bool
}

// told passes on what a observer is told.
type told chan hint

func (c told) OnOutcome(o measure.Outcome) bool {
	c <- hint{verdict: o.Verdict, ended: true}
	return false
}
func (c told) OnOverdue(probes int, _ time.Time) { c <- hint{overdue: probes} }
func (c told) OnStopped()                        { close(c) }

// until takes hints until one is as wanted, and returns the outcomes before it.
func (c told) until(wanted func(hint) bool) []measure.Verdict {
	var outcomes []measure.Verdict
	for one := range c {
		if wanted(one) {
			return outcomes
		}
		if one.ended {
			outcomes = append(outcomes, one.verdict)
		}
	}
	return outcomes
}

// TestOverdue lets replies stay away from a pair that was answered. Its observer hears of it before
// a probe's time is over; when they come after all, it hears that too, and no probe has failed.
// When they stay away, the probes' time ends them.
func TestOverdue(t *testing.T) {
	network := &silence{}
	engine := startFake(t, network, &network.workspace, fast(), 900*time.Millisecond)
	hints := make(told, 1<<16)
	engine.Add(netip.MustParseAddrPort("10.0.0.1:80"), hints)
	answered := func(h hint) bool { return h.ended && h.verdict == measure.Allowed }
	dropped := func(outcomes []measure.Verdict) (count int) {
		for _, verdict := range outcomes {
			if verdict != measure.Allowed {
				count++
			}
		}
		return count
	}
	hints.until(answered)
	for range 2 {
		network.silent.Store(true)
		outcomes := hints.until(func(h hint) bool { return h.overdue >= 3 })
		network.silent.Store(false)
		outcomes = append(outcomes, hints.until(func(h hint) bool {
			return !h.ended && h.overdue == 0
		})...)
		outcomes = append(outcomes, hints.until(answered)...)
		if n := dropped(outcomes); n > 0 {
			t.Errorf("%d probes failed whose replies came late", n)
		}
	}

	// A pair that has never had a late reply: one of so long ago may not count as overdue yet.
	hints = make(told, 1<<16)
	engine.Add(netip.MustParseAddrPort("10.0.0.2:80"), hints)
	hints.until(answered)
	network.silent.Store(true)
	if n := dropped(hints.until(func(h hint) bool { return h.overdue >= 3 })); n > 0 {
		t.Errorf("%d probes had failed before their replies were told to be overdue", n)
	}
	hints.until(func(h hint) bool { return h.ended && h.verdict == measure.Dropped })
	check(t, engine.Close())
}

// TestOverdueNever has no hint for a pair that was never answered: there is nothing to tell by what
// is late.
func TestOverdueNever(t *testing.T) {
	network := &silence{}
	network.silent.Store(true)
	engine := startFake(t, network, &network.workspace, fast(), 30*time.Millisecond)
	r := newRecorder(10)
	engine.Add(netip.MustParseAddrPort("10.0.0.1:80"), r)
	<-r.stopped
	check(t, engine.Close())
	if len(r.overdue) > 0 {
		t.Errorf("%v replies were told to be overdue of a pair that was never answered", r.overdue)
	}
}
