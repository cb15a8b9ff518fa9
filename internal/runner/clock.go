// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// offset is an interval that contains an agent's clock minus the runner's.
type offset struct{ lower, upper time.Duration }

func (o offset) width() time.Duration { return o.upper - o.lower }

// exchanges is how many exchanges with an agent are kept: clocks drift apart, and an old one is no
// bound.
const exchanges = 16

// clock is what is known of an agent's clock.
type clock struct {
	// shared says that the agent runs on the kernel that the runner runs on: the clock is the same.
	shared bool
	seen   []offset // the newest exchanges
}

// exchange enters an answer to a ping that was sent at an instant and whose answer came at another.
// The agent got it after it was sent, and answered before the answer came (compare RFC 5905,
// section 8).
func (c *clock) exchange(sent time.Time, answer protocol.Clock, came time.Time) {
	one := offset{lower: answer.Sent.Sub(came.Round(0)), upper: answer.Received.Sub(sent.Round(0))}
	if len(c.seen) == exchanges {
		c.seen = c.seen[1:]
	}
	c.seen = append(c.seen, one)
}

// best is the narrowest interval that is known.
func (c *clock) best() (offset, bool) {
	if c.shared {
		return offset{}, true
	}
	if len(c.seen) == 0 {
		return offset{}, false
	}

	best := c.seen[0]
	for _, one := range c.seen {
		if one.width() < best.width() {
			best = one
		}
	}

	return best, true
}

// start is the start of a trigger that the runner wrote between two instants, on the agent's clock,
// if that is known.
func (c *clock) start(before, after time.Time) (start measure.Start, known bool) {
	o, known := c.best()
	if !known {
		return measure.Start{}, false
	}
	return measure.StartOfWrite(before.Round(0).Add(o.lower), after.Round(0).Add(o.upper)), true
}

// bootID identifies this kernel, empty if it cannot be read.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
