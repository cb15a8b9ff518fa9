// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// TestClockContains plays exchanges over paths of any delay, between clocks of any difference: the
// interval has the difference, and the start the trigger.
func TestClockContains(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	delay := func() time.Duration { return time.Duration(random.IntN(50_000)) * time.Microsecond }
	for range 5000 {
		truth := time.Duration(random.IntN(20_000)-10_000) * time.Millisecond
		var c clock
		now := time.Unix(1_000_000, 0)
		for ping := range 1 + random.IntN(40) {
			sent := now
			received := sent.Add(delay())
			answered := received.Add(delay())
			now = answered.Add(delay())
			c.exchange(
				sent,
				protocol.Clock{
					Ping:     ping,
					Received: received.Add(truth),
					Sent:     answered.Add(truth),
				},
				now,
			)
		}
		best, known := c.best()
		if !known || truth < best.lower || truth > best.upper {
			t.Fatalf("the difference is %s; the interval [%s, %s]", truth, best.lower, best.upper)
		}
		before := now
		accepted := before.Add(delay())
		after := accepted.Add(delay())
		start, known := c.start(before, after)
		if !known {
			t.Fatal("the start is not known")
		}
		if at := accepted.Add(truth); at.Before(start.At) ||
			at.After(start.At.Add(start.Uncertainty)) {
			t.Fatalf(
				"the trigger was at %v; the start is %v and %s",
				at,
				start.At,
				start.Uncertainty,
			)
		}
	}
}

func TestClockUnknownAndShared(t *testing.T) {
	var c clock
	if _, known := c.start(time.Now(), time.Now()); known {
		t.Error("a clock that nobody has compared has a start")
	}
	c.shared = true
	if best, known := c.best(); !known || best.width() != 0 {
		t.Errorf("a shared clock differs by [%s, %s]", best.lower, best.upper)
	}
}
