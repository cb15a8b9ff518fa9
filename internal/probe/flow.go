// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// A probe that nothing answers leaves an entry that stays for two minutes. The next probe of its
// pair with the same source port is to connection tracking what a SYN is that is sent again: of the
// same entry, and as new as the first, so that policy judges it anew. So a pair that is silent has
// no more entries than probes in flight, however long it is probed.
//
// An answer that was lost on its way would make the next probe of that flow part of an established
// connection, which no policy judges. So a probe's flow is used again only if all probes around it
// had no answer either.

// minSilent is how many probes of a pair in a row must have had no answer before one's flow may be
// used again.
const minSilent = measure.DefaultConfirm

// flow is what connection tracking knows a probe by.
type flow struct {
	port     uint16
	turn     uint32  // when the port was taken, in the rotation of its target's
	sequence uint32  // of its newest SYN, where the mode has chosen it
	until    instant // when its entry goes, 0 if there is none
}

// flowPool keeps the flows that pairs may use again. It never grows: one without room is not used
// again.
type flowPool struct {
	nodes []flowNode
	free  int32
}

type flowNode struct {
	flow
	next int32
}

func newFlowPool(size int) *flowPool {
	f := &flowPool{nodes: make([]flowNode, size), free: none}
	for i := range f.nodes {
		f.nodes[i].next, f.free = f.free, int32(i)
	}
	return f
}

// keep keeps a flow for the pair's next probe.
func (f *flowPool) keep(p *pair, one flow) {
	i := f.free
	if i == none {
		return
	}
	f.free = f.nodes[i].next
	f.nodes[i] = flowNode{one, p.flows}
	p.flows = i
}

// take takes the flow that the pair has kept last, if there is one: the older ones may go.
func (f *flowPool) take(p *pair) (one flow, ok bool) {
	i := p.flows
	if i == none {
		return flow{}, false
	}
	one, p.flows = f.nodes[i].flow, f.nodes[i].next
	f.nodes[i].next, f.free = f.free, i
	return one, true
}

// drop gives up all flows that the pair has kept.
func (f *flowPool) drop(p *pair) {
	for ok := true; ok; {
		_, ok = f.take(p)
	}
}

// flowsOf has room for the flows of a mode with so many probes in flight. An INIT that is sent
// again has another tag, which connection tracking need not take for the first one's.
func flowsOf(mode Mode, most int) *flowPool {
	if mode == SCTP || mode == Established {
		most = 0
	}
	return newFlowPool(most)
}

// keepsFlow reports whether the pair's next probe can have the flow of an earlier one.
func (s *settler) keepsFlow(p *pair) bool {
	if p.flows == none || p.silent < minSilent {
		return false
	}
	if !p.ports.again(s.flows.nodes[p.flows].turn) {
		s.flows.drop(p)
	}
	return p.flows != none
}

// chooseFlow gives a new probe its flow: one that connection tracking knows already, if the pair
// keeps one, else that of a port that has rested.
func (s *settler) chooseFlow(e *entry, now instant) {
	p := e.pair
	if p.ports == nil {
		return
	}
	e.quiet = !p.answered || p.silent >= minSilent
	if s.keepsFlow(p) {
		e.flow, e.again = s.flows.take(p)
	} else {
		e.port, e.turn = p.ports.take(now)
	}
	e.until = s.conntrack.move(now, e.until, gone(now, s.livesOf(p).worst()))
}

// livesOf are the lives of the entries of a pair's probes. The control is probed by TCP.
func (s *settler) livesOf(p *pair) lives {
	if p == s.control {
		return tcpLives
	}
	return s.conntrack.lives
}

// unsent takes in that probes could not be sent: they have left no entry.
func (s *settler) unsent(replies []reply) {
	for i := range replies {
		r := &replies[i]
		if r.entry == none || r.opened || r.verdict == measure.Allowed {
			continue
		}
		if e := &s.table.entries[r.entry]; e.until != 0 && !e.again {
			e.until = s.conntrack.move(s.clock.now(), e.until, 0)
		}
	}
}

// settleFlow takes in what a probe that has ended has left, and keeps its flow for the pair's next
// one if nothing can have answered it.
func (s *settler) settleFlow(e *entry) {
	p, lives := e.pair, s.livesOf(e.pair)
	switch e.verdict {
	case measure.Allowed, measure.Unanswered:
		s.settleEntry(e, s.clock.now(), lives.answered)
		s.answeredFlow(e)
	case measure.Refused:
		s.settleEntry(e, e.sent, lives.refused)
		s.answeredFlow(e)
	case measure.Dropped, measure.Rejected, measure.Unreachable:
		s.settleEntry(e, e.sent, lives.dropped)
		p.silent++
		if e.quiet && p.silent >= minSilent && p.ports != nil && !p.done && !p.stopped {
			s.flows.keep(p, e.flow)
		}
	}
}

// settleEntry takes in that a probe's entry lives for so long after an instant.
func (s *settler) settleEntry(e *entry, after instant, life time.Duration) {
	if e.until != 0 {
		e.until = s.conntrack.move(s.clock.now(), e.until, gone(after, life))
	}
}

// answeredFlow takes in that a probe had an answer: what went before it may have been answered too.
func (s *settler) answeredFlow(e *entry) {
	p := e.pair
	p.answered, p.silent = true, 0
	s.flows.drop(p)
	if e.again {
		p.ports.answer(e.turn, s.clock.now())
	}
}
