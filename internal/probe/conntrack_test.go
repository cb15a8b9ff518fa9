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

// nodeTable is the connection tracking table of a node whose entries all stay equally long.
type nodeTable struct {
	stays time.Duration
	until []instant
	most  int
}

func (n *nodeTable) add(now instant) {
	for len(n.until) > 0 && n.until[0] <= now {
		n.until = n.until[1:]
	}
	n.until = append(n.until, now+instant(n.stays))
	n.most = max(n.most, len(n.until))
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

// TestConntrackNeverFills plays, by virtual time, the most that is asked of a budget: ten thousand
// targets of which all probes leave the entry that lives longest, the base interval before the
// trigger, and a day in which what was triggered never comes. No more entries are there at once
// than there may be, nearly as many are, and half of them are free when the trigger comes.
func TestConntrackNeverFills(t *testing.T) {
	const pairs, trigger = 10_000, instant(5 * time.Minute)
	for _, test := range []struct {
		name string
		mode Mode
		life time.Duration // of what becomes of all probes
	}{
		{"connect dropped", Connect, tcpSYNLife}, {"connect answered", Connect, tcpEntryLife},
		{"syn answered", SYN, tcpEntryLife}, {"udp", UDP, udpEntryLife},
		{"sctp answered", SCTP, sctpEntryLife},
	} {
		t.Run(test.name, func(t *testing.T) {
			const budget = smallestTable / partOfTable
			schedule := DefaultSchedule(test.mode)
			schedule.MaxRate = test.mode.DefaultMaxRate(MinProcs)
			node := &nodeTable{stays: test.life + collectedWithin}
			all := make(dueQueue, 0, pairs)
			for number := range pairs {
				all.push(&pair{number: number, due: instant(Phase(number, time.Second))})
			}
			tracking := newConntrack(test.mode)
			tracking.most.Store(budget)

			var now instant
			atTrigger := 0
			for now < trigger+instant(24*time.Hour) {
				p := all[0].pair
				now = max(now, p.due)
				triggered := now >= trigger
				if !triggered {
					atTrigger = tracking.held
				}
				limited := schedule.limited(tracking.rate(now, triggered, schedule.MaxRate))
				interval := limited.Before(pairs)
				if triggered {
					interval = limited.After(time.Duration(now-trigger), pairs)
				}
				if tracking.full(now, triggered) {
					all.reschedule(p, now+instant(interval/8))
					continue
				}
				node.add(now)
				tracking.move(now, 0, gone(now, test.life))
				if interval > 20*time.Second && time.Duration(now-trigger) > 2*node.stays {
					break // from here on there are fewer with every hour
				}
				all.reschedule(p, next(p.due, now, interval))
			}
			t.Logf("at most %d of %d entries, and %d at the trigger", node.most, budget, atTrigger)
			if node.most > budget || node.most < budget*3/4 {
				t.Errorf("%d entries at once: want nearly %d, and no more", node.most, budget)
			}
			if half := budget / beforeTrigger; atTrigger > half+half/20 {
				t.Errorf("%d entries at the trigger; want about half of %d", atTrigger, budget)
			}
		})
	}
}

// TestConntrackAfterManyIterations plays iterations that leave as many entries after their triggers
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
