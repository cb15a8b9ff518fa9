// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestConntrackCounts moves entries about by chance: those that are held are those that are not
// gone yet, give or take the length of a slot.
func TestConntrackCounts(t *testing.T) {
	c := newConntrack(Connect)
	random := rand.New(rand.NewPCG(1, 2))
	var until []instant
	now := instant(0)
	for step := range 20_000 {
		now += instant(random.IntN(int(20 * time.Millisecond)))
		if step%5000 == 4999 {
			now += instant(3 * time.Minute) // longer than all slots
		}
		life := instant(random.Int64N(int64(tcpSYNLife)))
		switch i := random.IntN(len(until) + 1); {
		case i == len(until):
			until = append(until, c.move(now, 0, now+life))
		case random.IntN(3) == 0:
			until[i] = c.move(now, until[i], 0)
		case until[i] > now:
			until[i] = c.move(now, until[i], now+life)
		}

		c.advance(now)
		least, most := 0, 0
		for _, at := range until {
			if at > now {
				least++
			}
			if at > now-2*conntrackSlot {
				most++
			}
		}
		if c.held < least || c.held > most {
			t.Fatalf("step %d: %d entries are held; want %d to %d", step, c.held, least, most)
		}
	}

	c.move(now, 0, forever)
	c.advance(now + instant(time.Hour))
	if c.held != 1 {
		t.Errorf("%d entries are held after an hour; want the one that stays", c.held)
	}
	if c.move(now+instant(time.Hour), forever, 0); c.held != 0 {
		t.Errorf("%d entries are held; want none", c.held)
	}
}

// What earlier agents have left in a table is not there for the next, but a part always is.
func TestConntrackBudget(t *testing.T) {
	whole := ConntrackBudget(1, 0)
	tests := []struct{ agents, left, want int }{
		{1, whole / 4, whole - whole/4},
		{1, 3 * whole, whole / leastPart},
		{2, whole / 2, (whole - whole/2) / 2},
		{10 * whole, 0, 1},
	}
	for _, test := range tests {
		if got := ConntrackBudget(test.agents, test.left); got != test.want {
			t.Errorf("one of %d agents, beside %d entries, may have %d; want %d", test.agents,
				test.left, got, test.want)
		}
	}
}

// TestConntrackAfterManyIterations has iterations that leave as many entries after their triggers
// as there may be: before the next one probes go on all the same, as often as may last.
func TestConntrackAfterManyIterations(t *testing.T) {
	c := newConntrack(Connect)
	c.most.Store(65_536)
	now := instant(time.Second)
	for !c.full(now, true) {
		c.move(now, 0, gone(now, tcpEntryLife))
	}
	if c.full(now, false) {
		t.Error("there is nothing left for the proof of the old state")
	}
	lasting := 32_768 / (tcpSYNLife + collectedWithin).Seconds()
	if got := c.rate(now, false, 10_000); got < lasting {
		t.Errorf("the rate is %.0f probes a second; want %.0f or more", got, lasting)
	}
}
