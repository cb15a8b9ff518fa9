// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"
)

// agenda has the errands that wait, in order.
type agenda struct{ errands []errand }

// add takes errands up when what comes before them has been enforced.
func (a *agenda) add(now time.Time, errands []errand) {
	for _, e := range errands {
		e.due = now.Add(e.after)
		e.cause.Arrived = e.due
		a.errands = append(a.errands, e)
	}
	slices.SortStableFunc(a.errands, func(x, y errand) int { return x.due.Compare(y.due) })
}

// due takes the errands out that are due. next is when the next will be, zero if none waits.
func (a *agenda) due(now time.Time) (due []event, next time.Time) {
	for len(a.errands) > 0 && !a.errands[0].due.After(now) {
		due = append(due, a.errands[0].event)
		a.errands = slices.Delete(a.errands, 0, 1)
	}
	if len(a.errands) > 0 {
		next = a.errands[0].due
	}
	return due, next
}

// cancel drops the errands about an object that something new has happened to.
func (a *agenda) cancel(about string) { a.errands = without(a.errands, about) }

// settle takes all errands out and returns those that end what a fault began.
func (a *agenda) settle() []event {
	var ends []event
	for _, e := range a.errands {
		if e.ends {
			ends = append(ends, e.event)
		}
	}
	a.errands = nil
	return ends
}
