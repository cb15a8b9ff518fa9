// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
)

// overdue follows the replies of a pair that do not come when they are expected: long before their
// probes' time is over it tells what is likely to become of them. It tells nothing of a pair that
// was never answered.
type overdue struct {
	trips    measure.RoundTrips
	answered instant // when the newest reply arrived
	next     int32   // the oldest probe in flight that was not found overdue, none if there is none
	row      int     // how many probes in a row, sent after the newest reply, have no reply
	told     int     // what the observer knows of that
}

// expected reports whether the pair's next reply is expected at once: the newest probes had theirs.
func (o *overdue) expected() bool {
	_, known := o.trips.Overdue()
	return known && o.row == 0
}

// launched takes in that the pair has another probe in flight.
func (o *overdue) launched(i int32) {
	if o.next == none {
		o.next = i
	}
}

// freed takes in that the pair's oldest probe is no longer in flight, and which is the oldest then.
func (o *overdue) freed(i, next int32) {
	if o.next == i {
		o.next = next
	}
}

// reply takes in that a probe's reply has arrived. It returns how many probes were lost, between
// the reply before and this one: they were found overdue, and the replies came close together. One
// that comes late itself tells nothing of others.
func (o *overdue) reply(e *entry, arrived instant) (lost int, before instant) {
	before = o.answered
	if !e.missed && e.sent.since(o.answered) < pace.LongestGap {
		lost = o.row
	}
	o.trips.Add(max(arrived, e.sent).since(e.sent))
	o.answered, o.row = max(o.answered, arrived), 0
	return lost, before
}

// miss takes in, once for each probe, that it has no reply when that is overdue, or has failed.
func (o *overdue) miss(sent instant) {
	if _, known := o.trips.Overdue(); known && sent >= o.answered {
		o.row++
	}
}

// changed is how many replies in a row are overdue, if the observer does not know that.
func (o *overdue) changed() (row int, is bool) {
	is = o.row != o.told
	o.told = o.row
	return o.row, is
}
