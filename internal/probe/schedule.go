// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"math"
	"time"
)

// Schedule says how often each pair is probed. It keeps a constant relative error: the longer ago
// the trigger, the longer the interval.
type Schedule struct {
	// BaseInterval is the interval before the trigger, which keeps the old state proved.
	BaseInterval time.Duration
	// MinInterval is the shortest interval after the trigger.
	MinInterval time.Duration
	// RelativeStep is the interval after the trigger as a part of the time since then, for example
	// 0.01.
	RelativeStep float64
	// MaxRate is the most probes a second for all pairs together.
	MaxRate float64
}

// sustainedRate is how many probes a second may go on for ever.
const sustainedRate = 5000

// Before is the time between two probes of a pair before its trigger, while that many pairs are
// probed. It can go on for days, so it keeps to a rate that a network can bear for so long.
func (s Schedule) Before(pairs int) time.Duration {
	return max(s.BaseInterval, s.limited(sustainedRate).budget(pairs))
}

// limited is the schedule with a lower rate.
func (s Schedule) limited(rate float64) Schedule {
	s.MaxRate = min(s.MaxRate, rate)
	return s
}

// After is the time between two probes of a pair that long after its trigger.
func (s Schedule) After(elapsed time.Duration, pairs int) time.Duration {
	relative := time.Duration(s.RelativeStep * float64(max(elapsed, 0)))
	return max(s.MinInterval, relative, s.budget(pairs))
}

// longest is the longest interval: a rate may be so low that no duration holds what it makes.
const longest = 24 * time.Hour

// budget is the interval at which that many pairs make the maximum rate.
func (s Schedule) budget(pairs int) time.Duration {
	return time.Duration(min(float64(pairs)/s.MaxRate*float64(time.Second), float64(longest)))
}

// Phase is where in its first interval the pair of that number begins. However many pairs there
// are, they never march in lockstep: multiples of the golden ratio spread evenly over the unit
// interval.
func Phase(number int, interval time.Duration) time.Duration {
	_, part := math.Modf(float64(number) * (math.Phi - 1))
	return time.Duration(part * float64(interval))
}

// next is when the probe after the one planned is due: one interval later, or as many intervals
// later as are not over by now. A probe that was missed is not made up for: a burst would measure
// nothing and disturb much.
func next(planned, now instant, interval time.Duration) instant {
	missed := max(0, (now-planned)/instant(interval))
	return planned + (missed+1)*instant(interval)
}
