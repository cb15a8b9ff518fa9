// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// expectation is what is expected of an endpoint, and what its addresses do. Its fields are for who
// holds the gate's lock.
type expectation struct {
	Expect
	gate  *gate
	pairs map[netip.AddrPort]*pair
	// problem is why no address is known, nil if one is.
	problem error
}

func newExpectation(g *gate, expect Expect) *expectation {
	return &expectation{Expect: expect, gate: g, pairs: make(map[netip.AddrPort]*pair)}
}

// set takes in which addresses the endpoint has.
func (e *expectation) set(addresses []netip.Addr) {
	e.gate.mu.Lock()
	defer e.gate.mu.Unlock()
	e.problem = nil

	now := make(map[netip.AddrPort]bool)
	for _, address := range addresses {
		to := netip.AddrPortFrom(address.Unmap(), e.Endpoint.Port)
		now[to] = true
		if e.pairs[to] == nil {
			p := newPair(e)
			e.pairs[to] = p
			p.probing = e.gate.engines[e.Endpoint.mode()].Add(to, p)
		}
	}
	for to, p := range e.pairs {
		if !now[to] {
			p.probing.Stop()
			delete(e.pairs, to)
		}
	}
}

// fail takes in that the addresses could not be found. Those that were known stay: what policy
// enforces may be that nobody is asked for them any more.
func (e *expectation) fail(err error) {
	e.gate.mu.Lock()
	defer e.gate.mu.Unlock()
	if len(e.pairs) == 0 {
		e.problem = err
	}
}

// holds reports whether all addresses have been as expected for long enough.
func (e *expectation) holds() bool {
	for _, p := range e.pairs {
		if !p.holds() {
			return false
		}
	}
	return len(e.pairs) > 0
}

// opposite reports whether an address was in the other state whenever it was watched.
func (e *expectation) opposite() bool {
	for _, p := range e.pairs {
		if p.opposite() {
			return true
		}
	}
	return false
}

// answers reports whether all addresses of a control have answered probes that were sent since an
// instant, each within a time.
func (e *expectation) answers(since time.Time, within time.Duration) bool {
	for _, p := range e.pairs {
		s := &p.likely
		if s.State() != measure.StateAllowed || s.Newest().Before(since) ||
			s.SlowestTrip() > within {
			return false
		}
	}
	return len(e.pairs) > 0
}

// pair is one address of an expectation. Its engine's worker tells it of its probes, and takes the
// lock for that.
type pair struct {
	of      *expectation
	probing *probe.Pair
	// likely is what the probes show as far as replies that are overdue do not come, proved what
	// they show when none can come any more: a probe's time-out later.
	likely, proved measure.Steady
	probes         [measure.VerdictCount]uint64
}

func newPair(e *expectation) *pair {
	fresh := measure.NewSteady(rules(), e.gate.config.gap())
	return &pair{of: e, likely: fresh, proved: fresh}
}

// OnOutcome implements [probe.Observer].
func (p *pair) OnOutcome(outcome measure.Outcome) (done bool) {
	g := p.of.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return true
	}
	p.proved.Observe(outcome)
	p.probes[outcome.Verdict]++
	g.check()
	return false
}

// OnPresumed implements [probe.Presumer].
func (p *pair) OnPresumed(outcome measure.Outcome) {
	g := p.of.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	p.likely.Observe(outcome)
	g.check()
}

// OnRefuted implements [probe.Presumer].
func (p *pair) OnRefuted(outcome measure.Outcome) {
	p.of.gate.mu.Lock()
	defer p.of.gate.mu.Unlock()
	p.likely.Refute(outcome)
}

// OnOverdue implements [probe.Observer].
func (p *pair) OnOverdue(int, time.Time) {}

// OnStopped implements [probe.Observer].
func (p *pair) OnStopped() {}

// evidence is what counts. Without a control nobody can tell silence from a path that has become
// slow, so only what is certain counts of what is to be blocked.
func (p *pair) evidence() *measure.Steady {
	if p.of.Kind == Blocked && !p.of.gate.controlled() {
		return &p.proved
	}
	return &p.likely
}

// holds reports whether the address has been as expected for long enough. A control need not have
// answered for so long: it vouches for the time in which others were silent.
func (p *pair) holds() bool {
	s := p.evidence()
	if s.State() != p.of.Kind.want() || s.Probes() < measure.DefaultConfirm || p.stale(s) {
		return false
	}
	switch p.of.Kind {
	case Control:
		return true
	case Blocked:
		return s.Watched() >= p.of.gate.config.Hold &&
			p.of.gate.vouched(s.Since(), time.Since(s.Since()))
	default:
		return s.Watched() >= p.of.gate.config.Hold
	}
}

// stale reports whether nothing has shown the state for so long that it is not known any more. What
// a probe shows is known when a reply has come, or is overdue.
func (p *pair) stale(s *measure.Steady) bool {
	config := p.of.gate.config
	known, is := s.Overdue()
	if !is || s == &p.proved {
		known = config.ProbeTimeout
	}
	return time.Since(s.Newest()) > known+config.gap()
}

// opposite reports whether the address was in the other state from the first probe that showed
// anything to the last, and for as long as the expected one would have had to last.
func (p *pair) opposite() bool {
	s := &p.proved
	// Before its first reply an address is silent because the network of a new pod is not there
	// yet, too.
	always := s.Changes() == 1 || p.of.Kind == Blocked && s.Changes() == 2
	return p.of.Kind != Control && s.State() == p.of.Kind.want().Opposite() && always &&
		s.Probes() >= measure.DefaultConfirm && s.Watched() >= p.of.gate.config.Hold && !p.stale(s)
}
