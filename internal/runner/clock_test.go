// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// pair of clocks: the runner's, and an agent's that is ahead and drifts.
type clocks struct {
	random *rand.Rand
	now    time.Time // on the runner's
	epoch  time.Time
	ahead  time.Duration
	drift  float64 // of a second per second
}

// agent is an instant on the agent's clock.
func (c *clocks) agent(at time.Time) time.Time {
	return at.Add(c.ahead + time.Duration(float64(at.Sub(c.epoch))*c.drift))
}

func (c *clocks) delay() time.Duration {
	return time.Duration(c.random.IntN(50_000)) * time.Microsecond
}

// ping has an exchange over a path of any delay.
func (c *clocks) ping(known *clock, number int) (stepped bool) {
	sent := c.now
	received := sent.Add(c.delay())
	answered := received.Add(c.delay())
	c.now = answered.Add(c.delay())
	return known.exchange(sent, protocol.Clock{
		Ping: number, Received: c.agent(received), Sent: c.agent(answered),
	}, c.now)
}

// TestClockContains has exchanges over paths of any delay, between clocks of any difference and
// drift, over iterations of up to minutes: the start contains the trigger, and no clock was set.
func TestClockContains(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for _, drift := range []float64{0, 20e-6, -50e-6, 100e-6, -200e-6} {
		for range 1000 {
			c := clocks{
				random: random, now: time.Unix(1_000_000, 0), epoch: time.Unix(1_000_000, 0),
				ahead: time.Duration(random.IntN(7_200_000)-3_600_000) * time.Millisecond,
				drift: drift,
			}
			var known clock
			for ping := range 1 + random.IntN(40) {
				if c.ping(&known, ping) {
					t.Fatalf("drift %g is taken for a clock that was set", drift)
				}
				c.now = c.now.Add(time.Duration(random.IntN(60_000)) * time.Millisecond)
			}

			before := c.now
			accepted := before.Add(c.delay())
			start, ok := known.start(before, accepted.Add(c.delay()))
			if at := c.agent(accepted); !ok || at.Before(start.At) || at.After(start.Latest()) {
				t.Fatalf("drift %g: the trigger was at %v; the start is %v and %s",
					drift, at, start.At, start.Uncertainty)
			}
		}
	}
}

// A clock that is set is noticed at the next exchange, and only what came after it counts.
func TestClockStep(t *testing.T) {
	c := clocks{
		random: rand.New(rand.NewPCG(3, 4)), now: time.Unix(1_000_000, 0),
		epoch: time.Unix(1_000_000, 0),
	}
	var known clock
	for ping := range 5 {
		if c.ping(&known, ping) {
			t.Fatal("a clock that nobody has set is taken for one that was set")
		}
	}
	c.ahead = time.Hour
	if !c.ping(&known, 5) {
		t.Error("that the agent's clock was set by an hour is not noticed")
	}
	start, _ := known.start(c.now, c.now)
	if at := c.agent(c.now); at.Before(start.At) || at.After(start.Latest()) {
		t.Errorf("the trigger was at %v; the start is %v and %s", at, start.At, start.Uncertainty)
	}
}

func TestClockUnknownAndShared(t *testing.T) {
	var c clock
	if _, known := c.start(time.Now(), time.Now()); known {
		t.Error("a clock that nobody has compared has a start")
	}
	c.shared = true
	if o, known := c.offset(time.Now()); !known || o != (offset{}) {
		t.Errorf("a shared clock differs by [%s, %s]", o.lower, o.upper)
	}
}
