// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import "time"

// bucket follows how much of something there was lately: it is filled, and drains at a rate. In any
// time no more can have come than it was allowed to hold, and what drains meanwhile.
type bucket struct {
	rate  float64 // what drains in a second
	level float64
	at    instant // when the level was right
}

// fill adds an amount.
func (b *bucket) fill(amount float64, now instant) { b.level = b.drained(now) + amount }

// drained is the level, after what has drained by now.
func (b *bucket) drained(now instant) float64 {
	b.level = max(0, b.level-b.rate*time.Duration(now-b.at).Seconds())
	b.at = now
	return b.level
}

// until is the time that it takes to drain to a level.
func (b *bucket) until(level float64, now instant) time.Duration {
	return time.Duration(max(0, b.drained(now)-level) / b.rate * float64(time.Second))
}
