// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import "github.com/netpol-latency/netpol-latency/internal/measure"

// overdue follows the replies of a pair that do not come when they are expected: long before their probes' time is over
// it tells what is likely to become of them. Nothing is looked at for a pair that was never answered.
type overdue struct {
	trips measure.RoundTrips
	heard instant // when the newest reply arrived
	next  int32   // the oldest probe in flight that has not been found overdue, none if there is no such
	row   int     // how many probes in a row, sent after the newest reply had arrived, have no reply
	told  int     // what the follower knows of that
}

// expected reports whether the pair's next reply is expected at once: the newest probes had theirs.
func (o *overdue) expected() bool {
	_, known := o.trips.Overdue()
	return known && o.row == 0
}

// sent takes in that the pair has another probe in flight.
func (o *overdue) sent(i int32) {
	if o.next == none {
		o.next = i
	}
}

// freed takes in that a slot of the pair, the oldest, is free again.
func (o *overdue) freed(i, next int32) {
	if o.next == i {
		o.next = next
	}
}

// reply takes in that a probe's reply has arrived.
func (o *overdue) reply(s *slot, arrived instant) {
	o.trips.Add(max(arrived, s.sent).since(s.sent))
	o.heard, o.row = max(o.heard, arrived), 0
}

// miss takes in that a probe has no reply when it is overdue, or has failed.
func (o *overdue) miss(s *slot) {
	if _, known := o.trips.Overdue(); known && !s.missed && s.sent >= o.heard {
		o.row++
	}
	s.missed = true
}

// look finds the pair's probes whose replies are overdue by now, and tells its follower if that is news. It is called
// before each probe of the pair, so it may be late by as much as the pair's interval.
func (w *worker) look(p *Pair, now instant) {
	after, known := p.overdue.trips.Overdue()
	if !known {
		return
	}
	for p.overdue.next != none {
		s := &w.flight.slots[p.overdue.next]
		if s.phase == launched {
			if now.since(s.sentBy) < after {
				break // those that follow were sent later
			}
			p.overdue.miss(s)
		}
		p.overdue.next = s.next
	}
	w.tell(p, now)
}

// tell tells the pair's follower how many replies in a row are overdue, if that is news.
func (w *worker) tell(p *Pair, now instant) {
	if p.overdue.row == p.overdue.told || p.done {
		return
	}
	p.overdue.told = p.overdue.row
	p.follower.Overdue(p.overdue.row, w.clock.time(now))
}
