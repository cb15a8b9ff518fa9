// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import "time"

// instant is a time on a worker's clock: nanoseconds of the monotonic clock since the epoch of the
// worker. It is a third of a time.Time, of which a worker would hold many.
type instant int64

// since is the time from an earlier instant to this one.
func (i instant) since(earlier instant) time.Duration { return time.Duration(i - earlier) }

// none is the number of nothing: of no entry, no place, no socket.
const none = -1

// clock counts from its epoch.
type clock struct{ epoch time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() instant { return instant(time.Since(c.epoch)) }

// instantOf is the instant of a time, by the monotonic clock if the time has its reading.
func (c clock) instantOf(t time.Time) instant { return instant(t.Sub(c.epoch)) }

// time is the instant as a time with a monotonic reading.
func (c clock) time(i instant) time.Time { return c.epoch.Add(time.Duration(i)) }
