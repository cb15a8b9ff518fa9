// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && !race

package probe

import (
	"testing"
	"time"
)

// The test of this file plays a day in one goroutine: the race detector would find nothing in it,
// and take ten times as long.

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

// TestConntrackNeverFills plays, by virtual time, the most that is asked of a budget: as many
// targets as a third of it, of which all probes leave the entry that lives longest, the base
// interval before the trigger, and a day in which what was triggered never comes. No more entries
// are there at once than there may be, nearly as many are, and half of them are free when the
// trigger comes. Pairs, entries and rates are a tenth of what they are on a node with ten thousand
// targets, so that it takes a tenth of the time: nothing depends on how many they are.
func TestConntrackNeverFills(t *testing.T) {
	const scale, trigger = 10, instant(5 * time.Minute)
	const pairs, budget = 10_000 / scale, smallestTable / partOfTable / scale
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
			t.Parallel()
			schedule := DefaultSchedule(test.mode)
			schedule.MaxRate = test.mode.DefaultMaxRate(MinProcs) / scale
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
