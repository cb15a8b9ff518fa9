// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// offset is an interval that contains an agent's clock minus the runner's.
type offset struct{ lower, upper time.Duration }

// exchanges is how many exchanges with an agent are kept.
const exchanges = 16

// maxDrift is how fast two clocks may drift apart: free crystals do by tens of microseconds a
// second, and a kernel that is told to correct its own by at most 500 (adjtimex(2), MAXFREQ).
const maxDrift = 500e-6

// exchange is what an exchange with an agent has shown of the clocks when it ended.
type exchange struct {
	offset
	at time.Time // on the runner's clock
}

// by is what the exchange still says at another instant: the clocks may have drifted since.
func (e exchange) by(at time.Time) offset {
	drift := time.Duration(float64(at.Sub(e.at).Abs()) * maxDrift)
	return offset{lower: e.lower - drift, upper: e.upper + drift}
}

// clock is what is known of an agent's clock.
type clock struct {
	// shared says that the agent runs on the kernel that the runner runs on: the clock is the same.
	shared bool
	seen   []exchange // the newest
}

// exchange enters an answer to a ping that was sent at an instant and whose answer came at another.
// The agent got it after it was sent, and answered before the answer came (compare RFC 5905,
// section 8). A clock that has been set since the exchanges before is noticed, and these are
// forgotten.
func (c *clock) exchange(sent time.Time, answer protocol.Clock, came time.Time) (stepped bool) {
	one := exchange{
		offset: offset{
			lower: answer.Sent.Sub(came.Round(0)), upper: answer.Received.Sub(sent.Round(0)),
		},
		at: came,
	}
	if known, ok := c.offset(came); ok && !c.shared &&
		(one.lower > known.upper || one.upper < known.lower) {
		stepped, c.seen = true, nil
	}

	if len(c.seen) == exchanges {
		c.seen = c.seen[1:]
	}
	c.seen = append(c.seen, one)
	return stepped
}

// offset is what all exchanges together say of the difference of the clocks at an instant.
func (c *clock) offset(at time.Time) (offset, bool) {
	if c.shared {
		return offset{}, true
	}
	if len(c.seen) == 0 {
		return offset{}, false
	}

	all := c.seen[0].by(at)
	for _, one := range c.seen[1:] {
		by := one.by(at)
		all.lower, all.upper = max(all.lower, by.lower), min(all.upper, by.upper)
	}
	return all, true
}

// start is the start of a trigger that the runner wrote between two instants, on the agent's clock,
// if that is known.
func (c *clock) start(before, after time.Time) (start measure.Start, known bool) {
	o, known := c.offset(after)
	if !known {
		return measure.Start{}, false
	}
	return measure.StartOfWrite(before.Round(0).Add(o.lower), after.Round(0).Add(o.upper)), true
}
