// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"testing"
	"time"
)

// tracking is the connection tracking table of a node, in whole seconds.
type tracking struct {
	lifetime int
	entries  []int // by the second in which they came
	most     int
}

func (t *tracking) add(now instant) {
	second := int(time.Duration(now) / time.Second)
	for len(t.entries) <= second {
		t.entries = append(t.entries, 0)
	}
	t.entries[second]++
	if t.entries[second]%500 == 0 {
		count := 0
		for i := max(0, second-t.lifetime); i <= second; i++ {
			count += t.entries[i]
		}
		t.most = max(t.most, count)
	}
}

// TestConntrackNeverFills plays, by virtual time, the most that the default budgets permit: ten
// thousand targets that all answer, the base interval before the trigger, and a day in which what
// was triggered never comes. The table of a node keeps a fifth of its default size for others.
func TestConntrackNeverFills(t *testing.T) {
	const pairs, table = 10_000, 262_144
	for _, mode := range []Mode{Connect, UDP, SYN} {
		t.Run(string(mode), func(t *testing.T) {
			schedule := DefaultSchedule(mode)
			schedule.MaxRate = mode.DefaultMaxRate(MinProcs)
			life := tcpEntryLife
			if mode == UDP {
				life = udpEntryLife
			}
			node := &tracking{lifetime: int(life / time.Second)}
			all := make(dueQueue, 0, pairs)
			for number := range pairs {
				all.push(&pair{number: number, due: instant(Phase(number, time.Second))})
			}
			budget := newConntrackBudget(mode)
			const trigger = instant(5 * time.Minute)
			var now instant
			for now < trigger+instant(24*time.Hour) {
				p := all[0].pair
				now = max(now, p.due)
				node.add(now)
				budget.spend(now)
				interval := schedule.limited(budget.rate(now, schedule.MaxRate)).Before(pairs)
				if now >= trigger {
					interval = schedule.limited(budget.rate(now,
						schedule.MaxRate)).After(time.Duration(now-trigger), pairs)
				}
				if interval > 20*time.Second {
					break // from here on there are fewer with every hour
				}
				all.reschedule(p, next(p.due, now, interval))
			}
			t.Logf("at most %d of %d entries", node.most, table)
			if node.most > table*4/5 {
				t.Errorf("%d entries at once: want at most four fifths of %d", node.most, table)
			}
			if node.most < 10_000 {
				t.Errorf("%d entries at once: this test no longer plays the worst case", node.most)
			}
		})
	}
}
