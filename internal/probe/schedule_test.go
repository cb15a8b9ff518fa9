// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestScheduleAfter(t *testing.T) {
	schedule := Schedule{BaseInterval: 100 * time.Millisecond, MinInterval: time.Millisecond,
		RelativeStep: 0.01, MaxRate: 20_000}
	tests := []struct {
		name    string
		elapsed time.Duration
		pairs   int
		want    time.Duration
	}{
		{"at once, the shortest interval", 0, 20, time.Millisecond},
		{"a trigger that is yet to come", -time.Second, 20, time.Millisecond},
		{"after a second, a hundredth of it", time.Second, 20, 10 * time.Millisecond},
		{"many pairs share the budget", 0, 1000, 50 * time.Millisecond},
		{"until the relative interval is longer", 10 * time.Second, 1000, 100 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := schedule.After(test.elapsed, test.pairs); got != test.want {
				t.Errorf("After(%s, %d) = %s; want %s", test.elapsed, test.pairs, got, test.want)
			}
		})
	}
	if got := schedule.Before(20); got != 100*time.Millisecond {
		t.Errorf("Before(20) = %s; want the base interval", got)
	}
	if got := schedule.Before(10_000); got != 2*time.Second {
		t.Errorf("Before(10000) = %s; want what the budget permits", got)
	}
}

// TestScheduleOfHardlyAnyRate does not take an interval that no duration holds for none.
func TestScheduleOfHardlyAnyRate(t *testing.T) {
	schedule := DefaultSchedule(Connect)
	schedule.MaxRate = 1e-300
	if got := schedule.After(0, 1); got != longest {
		t.Errorf("a pair is probed every %s; want %s", got, longest)
	}
}

func TestNext(t *testing.T) {
	for _, test := range []struct{ planned, now, want instant }{
		{100, 100, 110}, {100, 109, 110}, {100, 110, 120}, {100, 135, 140},
	} {
		if got := next(test.planned, test.now, 10); got != test.want {
			t.Errorf("after a probe planned for %d and launched at %d the next is due at %d; "+
				"want %d",
				test.planned, test.now, got, test.want)
		}
	}
}

// TestPhases spreads pairs over the interval: no gap is more than a few times the average.
func TestPhases(t *testing.T) {
	const interval = time.Second
	for _, pairs := range []int{2, 20, 200, 10_000} {
		var phases []time.Duration
		for number := range pairs {
			phases = append(phases, Phase(number+1, interval))
		}
		slices.Sort(phases)
		widest := phases[0] + interval - phases[pairs-1]
		for i := range pairs - 1 {
			widest = max(widest, phases[i+1]-phases[i])
		}
		if most := 3 * interval / time.Duration(pairs); widest > most {
			t.Errorf("%d pairs leave a gap of %s; want at most %s", pairs, widest, most)
		}
	}
}

// FuzzSchedule runs a due queue of pairs by virtual time: whatever the settings, the budget is
// kept over every stretch of time, no pair starves, and the due queue stays in order.
func FuzzSchedule(f *testing.F) {
	f.Add(uint16(20), uint16(1), uint16(1000), uint32(20_000), uint16(10))
	f.Add(uint16(1000), uint16(1), uint16(0), uint32(5000), uint16(500))
	f.Add(uint16(3), uint16(40), uint16(60_000), uint32(100), uint16(0))
	f.Fuzz(func(t *testing.T, pairs, shortest, relative uint16, rate uint32, late uint16) {
		schedule := Schedule{
			BaseInterval: 100 * time.Millisecond,
			MinInterval:  time.Duration(1+shortest%100) * time.Millisecond,
			RelativeStep: float64(relative) / math.MaxUint16, MaxRate: float64(1 + rate%200_000),
		}
		config := Config{Schedule: schedule, Timeout: DefaultTimeout}
		if err := config.Validate(); err != nil {
			t.Fatal(err)
		}
		n := 1 + int(pairs)%500
		var all dueQueue
		for number := range n {
			all.push(&pair{number: number, due: instant(Phase(number, schedule.After(0, n)))})
		}
		launches := make(map[*pair]int)
		total := 20 * n
		var now instant
		for range total {
			p := all[0].pair
			now = max(now, p.due) + instant(late)*instant(time.Microsecond)/100
			launches[p]++
			all.reschedule(p, next(p.due, now, schedule.After(time.Duration(now), n)))
		}
		// Every pair had one probe to begin with; the rest is what the budget has paid for.
		if most := time.Duration(now).Seconds()*schedule.MaxRate +
			float64(2*n); float64(total) > most+1 {
			t.Errorf("%d probes in %s: the budget is %.0f a second", total, time.Duration(now),
				schedule.MaxRate)
		}
		for _, e := range all {
			if launches[e.pair] < 5 {
				t.Errorf("pair %d had %d probes where the average had 20", e.pair.number,
					launches[e.pair])
			}
		}
	})
}
