// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// none is the number of no slot.
const none = -1

// phase is how far a probe is.
type phase uint8

const (
	idle      phase = iota // the slot is free
	launched               // its first packet is on its way, or about to be
	answering              // the connection is open, a response is awaited
	ended                  // its verdict is known, but earlier probes of the pair have none yet
)

// slot is one probe in flight.
type slot struct {
	pair     *Pair
	next     int32 // the pair's next probe, in the order of sends
	use      uint32
	fd       int32 // the probe's own socket, none without one
	sequence uint32
	port     uint16
	response uint16
	matched  uint8 // how much of the response's beginning has arrived
	missed   bool  // its reply was found to be overdue, or it failed
	phase    phase
	verdict  measure.Verdict
	planned  instant
	sent     instant
	sentBy   instant
	opened   instant // 0 without a connection that a response is awaited on
	done     instant
	err      error
}

// flight is the table of a worker's probes in flight. It never grows: a probe without a free slot is
// not sent.
type flight struct {
	slots []slot
	free  []int32
}

func newFlight(size int) *flight {
	f := &flight{slots: make([]slot, size), free: make([]int32, 0, size)}
	for i := size - 1; i >= 0; i-- {
		f.free = append(f.free, int32(i))
	}
	return f
}

// take claims a slot for the pair's next probe, behind its earlier ones; none if all are in use.
func (f *flight) take(p *Pair) int32 {
	if len(f.free) == 0 {
		return none
	}
	i := f.free[len(f.free)-1]
	f.free = f.free[:len(f.free)-1]
	f.slots[i] = slot{pair: p, next: none, use: f.slots[i].use + 1, fd: none, phase: launched}
	if p.last == none {
		p.first = i
	} else {
		f.slots[p.last].next = i
	}
	p.last = i
	p.overdue.sent(i)
	return i
}

// shift frees the pair's oldest probe and returns it.
func (f *flight) shift(p *Pair) slot {
	i := p.first
	one := f.slots[i]
	p.first = one.next
	p.overdue.freed(i, one.next)
	if p.first == none {
		p.last = none
	}
	f.slots[i] = slot{use: one.use}
	f.free = append(f.free, i)
	return one
}

// ticket names one use of a slot.
type ticket struct {
	slot int32
	use  uint32
	due  instant
}

// holds reports whether the slot is still in the use that the ticket names.
func (f *flight) holds(t ticket) bool {
	s := &f.slots[t.slot]
	return s.use == t.use && s.phase != idle && s.phase != ended
}

// deadlines is a queue of tickets that all wait equally long, and so come due in the order in which
// they came.
type deadlines struct {
	wait  time.Duration
	ring  []ticket
	first int
	count int
}

func newDeadlines(wait time.Duration, size int) *deadlines {
	return &deadlines{wait: wait, ring: make([]ticket, size)}
}

// add lets the use of a slot end one wait from now. When the ring is full the oldest entries have long
// been answered; the caller makes room first.
func (d *deadlines) add(slot int32, use uint32, now instant) {
	d.ring[(d.first+d.count)%len(d.ring)] = ticket{slot, use, now + instant(d.wait)}
	d.count++
}

func (d *deadlines) full() bool { return d.count == len(d.ring) }

// head is the oldest ticket.
func (d *deadlines) head() (ticket, bool) {
	if d.count == 0 {
		return ticket{}, false
	}
	return d.ring[d.first], true
}

// expired takes off the oldest ticket whose slot is still in use, once it is due.
func (d *deadlines) expired(f *flight, now instant) (ticket, bool) {
	for oldest, ok := d.head(); ok; oldest, ok = d.head() {
		held := f.holds(oldest)
		if held && oldest.due > now {
			break
		}
		d.drop()
		if held {
			return oldest, true
		}
	}
	return ticket{}, false
}

// room drops tickets whose slots are out of use until another ticket fits; false if none does.
func (d *deadlines) room(f *flight) bool {
	for d.full() {
		if oldest, _ := d.head(); f.holds(oldest) {
			return false
		}
		d.drop()
	}
	return true
}

func (d *deadlines) drop() {
	d.first = (d.first + 1) % len(d.ring)
	d.count--
}
