// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// RoundTrips keep how long the newest replies of one pair took. The zero value has none.
type RoundTrips struct {
	// slowest is the longest time that a reply took, of the newest windows of replies: the one that
	// is filling and the one before it.
	slowest [2]time.Duration
	replies int // in the window that is filling
}

// window is how many replies share a window: few enough that one hiccup long ago does not widen
// every bracket that follows, and many enough to have met the delays of the moment.
const window = 32

// Add enters how long a reply took.
func (r *RoundTrips) Add(took time.Duration) {
	if r.replies == window {
		r.slowest[1], r.slowest[0], r.replies = r.slowest[0], 0, 0
	}
	r.slowest[0] = max(r.slowest[0], took)
	r.replies++
}

// Slowest is the longest time that one of the newest replies took, zero without any.
func (r *RoundTrips) Slowest() time.Duration { return max(r.slowest[0], r.slowest[1]) }

// A reply is overdue after so many of the slowest round trips, and no sooner than after the
// shortest time: a process that was not run for a moment does the same to both.
const (
	overdueTrips    = 4
	shortestOverdue = 5 * time.Millisecond
)

// Overdue is how long after its send a probe's reply is overdue, and whether that is known: not
// before there was a reply.
func (r *RoundTrips) Overdue() (after time.Duration, known bool) {
	return max(shortestOverdue, overdueTrips*r.Slowest()), r.replies > 0
}
