// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// phase is how far a probe is.
type phase uint8

const (
	idle      phase = iota // the entry is free
	launched               // its first packet is on its way, or about to be
	answering              // the connection is open, a response is awaited
	ended                  // its verdict is known, but earlier probes of the pair have none yet
)

// entry is one probe in flight.
type entry struct {
	pair    *pair
	next    int32 // the pair's next probe, in the order of sends
	use     uint32
	planned instant
	// sent and sentBy are for the mode to set when it launches the probe.
	sent   instant
	sentBy instant
	opened instant // 0 without a connection that a response is awaited on
	done   instant
	err    error

	flow       // its source port is 0 without one of its own
	again bool // the flow is that of an earlier probe
	quiet bool // nothing had answered the pair of late

	// What follows until the next paragraph is the mode's own, as is the flow's sequence number.
	fd       int32  // the probe's own socket, none without one
	response uint16 // the response's status, if it has one
	matched  uint8  // how much of the response's beginning has arrived
	asked    bool   // the request was sent

	deferred bool // it left late, for want of a source port
	missed   bool // its reply was found to be overdue, or it failed
	presumed bool // and the pair's presumer was told so
	phase    phase
	verdict  measure.Verdict
}

// flow is what connection tracking knows a probe by.
type flow struct {
	port     uint16
	turn     uint32  // when the port was taken, in the rotation of its target's
	sequence uint32  // of its newest SYN, where the mode has chosen it
	until    instant // when its entry goes, 0 if there is none
}

// inFlightTable has a worker's probes in flight. It never grows: a probe without a free entry is
// not sent.
type inFlightTable struct {
	entries []entry
	free    []int32
}

func newInFlightTable(size int) *inFlightTable {
	t := &inFlightTable{entries: make([]entry, size), free: make([]int32, 0, size)}
	for i := size - 1; i >= 0; i-- {
		t.free = append(t.free, int32(i))
	}
	return t
}

// take claims an entry for the pair's next probe, behind its earlier ones; none if all are in use.
func (t *inFlightTable) take(p *pair) int32 {
	if len(t.free) == 0 {
		return none
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.entries[i] = entry{pair: p, next: none, use: t.entries[i].use + 1, fd: none, phase: launched}

	if p.last == none {
		p.first = i
	} else {
		t.entries[p.last].next = i
	}
	p.last = i
	p.overdue.launched(i)
	if p.presumed == none {
		p.presumed = i
	}
	return i
}

// shift frees the pair's oldest probe and returns it.
func (t *inFlightTable) shift(p *pair) entry {
	i := p.first
	one := t.entries[i]
	p.first = one.next
	p.overdue.freed(i, one.next)
	if p.presumed == i {
		p.presumed = one.next
	}
	if p.first == none {
		p.last = none
	}
	t.entries[i] = entry{use: one.use}
	t.free = append(t.free, i)
	return one
}

// timer is when the time of one use of an entry is over.
type timer struct {
	entry int32
	use   uint32
	due   instant
}

// runs reports whether the entry is still in the use that the timer is for.
func (t *inFlightTable) runs(one timer) bool {
	e := &t.entries[one.entry]
	return e.use == one.use && e.phase != idle && e.phase != ended
}

// timers is a queue of those that all wait equally long, and so come due in the order in which they
// were started.
type timers struct {
	wait  time.Duration
	ring  []timer
	first int
	count int
}

func newTimers(wait time.Duration, size int) *timers {
	return &timers{wait: wait, ring: make([]timer, size)}
}

// start lets the use of an entry end one wait from now. When the ring is full the oldest entries
// have long been answered; the caller makes room first.
func (q *timers) start(i int32, use uint32, now instant) {
	q.ring[(q.first+q.count)%len(q.ring)] = timer{i, use, now + instant(q.wait)}
	q.count++
}

// oldest is the timer that is due first.
func (q *timers) oldest() (timer, bool) {
	if q.count == 0 {
		return timer{}, false
	}
	return q.ring[q.first], true
}

// overdue reports whether a timer that still runs is due, and takes off those before it that run no
// longer.
func (q *timers) overdue(t *inFlightTable, now instant) bool {
	for one, ok := q.oldest(); ok; one, ok = q.oldest() {
		if t.runs(one) {
			return one.due <= now
		}
		q.shift()
	}
	return false
}

// expired takes off the oldest timer that still runs, once it is due.
func (q *timers) expired(t *inFlightTable, now instant) (timer, bool) {
	if !q.overdue(t, now) {
		return timer{}, false
	}
	one, _ := q.oldest()
	q.shift()
	return one, true
}

// room takes off timers that no longer run until another fits; false if none does.
func (q *timers) room(t *inFlightTable) bool {
	for q.count == len(q.ring) {
		if one, _ := q.oldest(); t.runs(one) {
			return false
		}
		q.shift()
	}
	return true
}

func (q *timers) shift() {
	q.first = (q.first + 1) % len(q.ring)
	q.count--
}
