// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import "time"

// aroundTime is how far apart two probes are sent at the most that meet the path alike.
const aroundTime = 50 * time.Millisecond

// controlTrips keep how long the newest replies to control probes took: where packets wait to be
// filtered, these waited behind the same ones as the probes of pairs, which have no reply once
// policy forbids them.
type controlTrips struct {
	newest [128]controlTrip // more than probes wait for their replies
	next   int
}

type controlTrip struct {
	sent instant
	took time.Duration
}

// add enters a reply.
func (w *controlTrips) add(sent, arrived instant) {
	w.newest[w.next] = controlTrip{sent, time.Duration(max(0, arrived-sent))}
	w.next = (w.next + 1) % len(w.newest)
}

// around is the longest time that a reply took to what was sent about as early as a probe, or was
// under way when it was sent; zero without any.
func (w *controlTrips) around(sent instant) (longest time.Duration) {
	for _, one := range w.newest {
		near := one.sent <= sent+instant(aroundTime) &&
			one.sent+instant(max(aroundTime, one.took)) >= sent
		if near && one.took > longest {
			longest = one.took
		}
	}
	return longest
}
