// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"
)

// deferredQueue holds the deferred events in the order in which they are due.
type deferredQueue struct{ events []deferredEvent }

// add schedules deferred events at the moment when what comes before them has been enforced.
func (d *deferredQueue) add(now time.Time, events []deferredEvent) {
	for _, e := range events {
		e.due = now.Add(e.after)
		e.cause.Arrived = e.due
		d.events = append(d.events, e)
	}
	slices.SortStableFunc(d.events, func(x, y deferredEvent) int { return x.due.Compare(y.due) })
}

// due removes and returns the events that are due. next is when the next will be, zero if none
// waits.
func (d *deferredQueue) due(now time.Time) (due []event, next time.Time) {
	for len(d.events) > 0 && !d.events[0].due.After(now) {
		due = append(due, d.events[0].event)
		d.events = slices.Delete(d.events, 0, 1)
	}
	if len(d.events) > 0 {
		next = d.events[0].due
	}
	return due, next
}

// cancel removes the events about an object that something new has happened to.
func (d *deferredQueue) cancel(about string) { d.events = without(d.events, about) }

// drain removes all events and returns those that end what a fault began.
func (d *deferredQueue) drain() []event {
	var ends []event
	for _, e := range d.events {
		if e.ends {
			ends = append(ends, e.event)
		}
	}
	d.events = nil
	return ends
}
