// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import "time"

// Schedule says how often each pair is probed.
type Schedule struct {
	// Interval is the shortest time between two probes of one pair.
	Interval time.Duration
	// MaxRate is the most probes a second for all pairs together.
	MaxRate float64
}

// Between is the time between two probes of one pair while that many pairs are probed: the interval,
// stretched as far as the rate for all of them demands.
func (s Schedule) Between(pairs int) time.Duration {
	budget := time.Duration(float64(pairs) / s.MaxRate * float64(time.Second))
	return max(s.Interval, budget)
}

// next is when the probe after the one planned is due: one interval later, or at once when that has
// passed. A probe that was missed is not made up for: a burst would measure nothing and disturb much.
func next(planned, now time.Time, interval time.Duration) time.Time {
	due := planned.Add(interval)
	if due.Before(now) {
		return now
	}
	return due
}
