// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
)

// evaluator gives probes their verdicts and tells observers, and nobody else does.
type evaluator struct {
	*workspace
	prober   prober
	queue    *dueQueue
	opening  *timers // of probes that wait for their first answer
	replying *timers // of probes that wait for a response on an open connection
	flows    *flowPool
	// lost is when answers were last lost: of probes that had none by then, it is not known whether
	// they were answered.
	lost instant

	pace     *pace.Finder // nil where the schedule is kept whatever the path does
	looked   instant      // what had come by then has been read
	control  *pair        // nil without one
	trips    controlTrips // of its probes
	triggers int          // pairs that have had their trigger
}

// evaluate takes in what a mode has found out.
func (s *evaluator) evaluate(replies []reply) {
	for i := range replies {
		switch r := &replies[i]; {
		case r.entry == none:
			s.lost = r.at
		case r.opened:
			s.open(r.entry, r.at)
		default:
			s.end(r.entry, r.verdict, r.at, r.err)
		}
	}
}

// open takes in that a probe's connection is open and a response is awaited.
func (s *evaluator) open(i int32, at instant) {
	e := &s.table.entries[i]
	switch {
	case e.phase != launched:
		return
	case e.pair.stopped:
		s.end(i, measure.Unanswered, at, errCancelled)
		return
	case !s.replying.room(s.table):
		s.end(i, measure.Ambiguous, at, errTimeout)
		return
	}

	e.phase, e.opened = answering, at
	s.replying.start(i, e.use, at)
	s.answeredFlow(e)
	s.reply(e, at)
	s.notifyOverdue(e.pair, at)
}

// expire ends the probes whose time was over at an instant.
func (s *evaluator) expire(now instant) {
	for t, ok := s.opening.expired(s.table, now); ok; t, ok = s.opening.expired(s.table, now) {
		switch e := &s.table.entries[t.entry]; {
		case e.phase != launched:
		case e.sent <= s.lost:
			s.end(t.entry, measure.Ambiguous, now, errLost)
		default:
			s.end(t.entry, measure.Dropped, now, errTimeout)
		}
	}
	for t, ok := s.replying.expired(s.table, now); ok; t, ok = s.replying.expired(s.table, now) {
		s.end(t.entry, measure.Unanswered, now, errTimeout)
	}
}

// end gives a probe its verdict, and tells the observer as far as the order of sends permits.
func (s *evaluator) end(i int32, verdict measure.Verdict, done instant, err error) {
	e := &s.table.entries[i]
	if e.phase == idle || e.phase == ended {
		return
	}
	s.prober.release(e)
	if verdict == measure.Dropped && s.pace.Overloaded(time.Duration(e.sent)) {
		verdict, err = measure.Ambiguous, errOverload
	}

	opened := e.phase == answering
	e.phase, e.verdict, e.done, e.err = ended, verdict, max(done, e.sent), err
	s.recordFlow(e)
	s.updateOverdue(e, opened)
	s.presume(e.pair, e.done)
	if e.presumed && e.verdict == measure.Allowed && !e.pair.done {
		e.pair.presumer.OnRefuted(s.outcome(e))
	}
	s.report(e.pair)
}

// updateOverdue takes in what a probe that has ended says about those whose replies are overdue.
// One whose connection was open has said it before.
func (s *evaluator) updateOverdue(e *entry, opened bool) {
	switch {
	case opened || e.verdict == measure.Ambiguous:
		return
	case e.verdict == measure.Allowed:
		s.reply(e, e.done)
	default:
		e.miss()
	}
	s.notifyOverdue(e.pair, e.done)
}

// reply takes in a probe's first answer.
func (s *evaluator) reply(e *entry, at instant) {
	lost, before := e.pair.overdue.reply(e, at)
	if s.pace == nil {
		return
	}
	from := pace.FromPair
	if e.pair == s.control {
		from = pace.FromControl
		s.trips.add(e.sent, at)
	}
	s.pace.Answered(from, time.Duration(e.sent), time.Duration(at), time.Duration(s.looked))
	s.pace.Lost(lost, time.Duration(before))
}

// miss takes in that the probe has no reply when it is overdue, or has failed.
func (e *entry) miss() {
	if !e.missed {
		e.pair.overdue.miss(e.sent)
	}
	e.missed = true
}

// checkOverdue finds the pair's probes whose replies are overdue by now, and tells its observer if
// that is new. It is called before each probe of the pair, so it may be late by as much as the
// pair's interval.
func (s *evaluator) checkOverdue(p *pair, now instant) {
	after, known := p.overdue.trips.Overdue()
	if !known {
		return
	}

	for p.overdue.next != none {
		e := &s.table.entries[p.overdue.next]
		if e.phase == launched {
			if now.since(e.sentBy) < after {
				break // those that follow were sent later
			}
			e.miss()
		}
		p.overdue.next = e.next
	}

	s.notifyOverdue(p, now)
	s.presume(p, now)
}

// presume tells a pair's presumer of the probes, in the order of their sends, that have ended or
// whose replies are overdue by now.
func (s *evaluator) presume(p *pair, now instant) {
	if p.presumer == nil || p.done {
		return
	}

	for ; p.presumed != none; p.presumed = s.table.entries[p.presumed].next {
		e := &s.table.entries[p.presumed]
		if e.phase != ended && !e.missed {
			return
		}
		outcome := s.outcome(e)
		if e.phase != ended {
			e.presumed = true
			outcome.Verdict, outcome.Err = measure.Dropped, errTimeout
			outcome.Done = s.clock.time(now)
		}
		p.presumer.OnPresumed(outcome)
	}
}

// notifyOverdue tells the pair's observer how many replies in a row are overdue, if that is new.
func (s *evaluator) notifyOverdue(p *pair, now instant) {
	if p.done {
		return
	}
	if row, is := p.overdue.changed(); is {
		p.observer.OnOverdue(row, s.clock.time(now))
	}
}

// report tells the observer the outcomes that no earlier probe's holds back.
func (s *evaluator) report(p *pair) {
	for p.first != none && s.table.entries[p.first].phase == ended {
		one := s.table.shift(p)
		if !p.done {
			p.done = p.observer.OnOutcome(s.outcome(&one))
		}
	}
	if p.done {
		s.removePair(p)
	}
}

// outcome is an ended probe as an observer is told of it.
func (s *evaluator) outcome(e *entry) measure.Outcome {
	outcome := measure.Outcome{
		Verdict: e.verdict, Response: int(e.response), Err: e.err,
		Planned: s.clock.time(e.planned), Interval: e.pair.interval, Sent: s.clock.time(e.sent),
		SentBy: s.clock.time(e.sentBy), Done: s.clock.time(e.done), Deferred: e.deferred,
		Overloaded: errors.Is(e.err, errOverload),
	}
	if e.opened != 0 {
		outcome.Opened = s.clock.time(e.opened)
	}
	if e.verdict == measure.Dropped && s.control != nil {
		outcome.Way = s.trips.around(e.sent)
	}
	return outcome
}

// cancel stops a pair that is not done. What is still in flight proves nothing.
func (s *evaluator) cancel(p *pair) {
	if p.stopped {
		return
	}
	now := s.clock.now()
	// The oldest never has its verdict already: report would have told it.
	for p.first != none {
		s.end(p.first, measure.Ambiguous, now, errCancelled)
	}
	s.removePair(p)
}

// cancelAll stops all pairs, and ends what pairs that were done have left in flight.
func (s *evaluator) cancelAll() {
	for len(*s.queue) > 0 {
		s.cancel((*s.queue)[len(*s.queue)-1].pair)
	}
	now := s.clock.now()
	for i := range s.table.entries {
		s.end(int32(i), measure.Ambiguous, now, errCancelled)
	}
}

// removePair takes a pair out, once.
func (s *evaluator) removePair(p *pair) {
	if p.stopped {
		return
	}

	p.stopped, p.done = true, true
	s.releaseProbes(p)
	s.flows.drop(p)
	s.queue.remove(p)
	s.prober.remove(p)

	if p.ports != nil {
		p.ports.pairs--
	}
	if p.triggered {
		s.triggers--
	}
	p.observer.OnStopped()
}

// releaseProbes gives up a done pair's probes. One that waits for its first answer keeps its socket
// until it has come or its time is over: to free hundreds at once would make the probes of other
// pairs late, just when the network changes.
func (s *evaluator) releaseProbes(p *pair) {
	for i := p.first; i != none; i = s.table.entries[i].next {
		if e := &s.table.entries[i]; e.phase != launched || e.fd == none {
			s.prober.release(e)
			e.phase = ended
		}
	}
	s.report(p)
}

// keepsFlow reports whether the pair's next probe can have the flow of an earlier one.
func (s *evaluator) keepsFlow(p *pair) bool {
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
func (s *evaluator) chooseFlow(e *entry, now instant) {
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
func (s *evaluator) livesOf(p *pair) lives {
	if p == s.control {
		return tcpLives
	}
	return s.conntrack.lives
}

// unsent takes in that probes could not be sent: they have left no entry.
func (s *evaluator) unsent(replies []reply) {
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

// recordFlow takes in what a probe that has ended has left, and keeps its flow for the pair's next
// one if nothing can have answered it.
func (s *evaluator) recordFlow(e *entry) {
	p, lives := e.pair, s.livesOf(e.pair)
	switch e.verdict {
	case measure.Allowed, measure.Unanswered:
		s.recordEntry(e, s.clock.now(), lives.answered)
		s.answeredFlow(e)
	case measure.Refused:
		s.recordEntry(e, e.sent, lives.refused)
		s.answeredFlow(e)
	case measure.Dropped, measure.Rejected, measure.Unreachable:
		life := lives.dropped
		if s.conntrack.dropsHere.Load() && p != s.control {
			life = 0
		}
		s.recordEntry(e, e.sent, life)
		p.silent++
		if e.quiet && p.silent >= minSilent && p.ports != nil && !p.done && !p.stopped {
			s.flows.keep(p, e.flow)
		}
	}
}

// recordEntry takes in that a probe's entry lives for so long after an instant.
func (s *evaluator) recordEntry(e *entry, after instant, life time.Duration) {
	if e.until != 0 {
		e.until = s.conntrack.move(s.clock.now(), e.until, gone(after, life))
	}
}

// answeredFlow takes in that a probe had an answer: what went before it may have been answered too.
func (s *evaluator) answeredFlow(e *entry) {
	p := e.pair
	p.answered, p.silent = true, 0
	s.flows.drop(p)
	if e.again {
		p.ports.answer(e.turn, s.clock.now())
	}
}
