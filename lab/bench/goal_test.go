// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// madeUp are results of one round in which every goal holds, just so.
func madeUp() *Results {
	r := newResults()
	for _, one := range []struct {
		name              string
		dropped, answered time.Duration // of a thousand probes
	}{
		{curlName, 10_000 * time.Millisecond, 10_000 * time.Millisecond},
		{"connect", 50 * time.Millisecond, 50 * time.Millisecond},
		{"syn", 2500 * time.Microsecond, 10 * time.Millisecond},
		{ingressSYNName, 2250 * time.Microsecond, 0},
		{floorName, 1250 * time.Microsecond, 0},
		{"hping3", 2600 * time.Microsecond, 20 * time.Millisecond},
	} {
		readings := map[State]Reading{Dropped: {Probes: 1000, CPU: one.dropped}}
		if one.answered > 0 {
			readings[Answered] = Reading{Probes: 1000, CPU: one.answered}
		}
		r.add(one.name, readings)
	}
	r.memory["syn"], r.memory["connect"] = synMemory, connectMemory
	return r
}

// change replaces the figures of a turn.
func (r *Results) change(name string, state State, to Reading) {
	to.Probes = 1000
	r.readings[key{name, state}] = []Reading{to}
}

func TestGoals(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Results)
		missed []string // how the goals begin that do not hold
	}{
		{"every goal holds just so", func(*Results) {}, nil},
		{"connect costs more than its part of curl when it is answered", func(r *Results) {
			r.change("connect", Answered, Reading{CPU: 51 * time.Millisecond})
		}, []string{"connect, answered, costs at most 1/200"}},
		{"a yardstick is cheaper than syn", func(r *Results) {
			r.change("hping3", Dropped, Reading{CPU: 2400 * time.Microsecond})
		}, []string{"syn, dropped, costs less than every yardstick: next hping3, 0.96 times"}},
		{"a yardstick that is left out is cheaper", func(r *Results) {
			r.change("hping3", Dropped, Reading{CPU: 2400 * time.Microsecond})
			r.leaveOut("hping3", errors.New("it is not installed"))
		}, nil},
		{"the floor is lower", func(r *Results) {
			r.change(floorName, Dropped, Reading{CPU: 1170 * time.Microsecond})
		}, []string{"syn at ingress costs at most 1.8 times the floor: 1.92 (paced -, routed -)"}},
		{"one mode allocates, and not the last", func(r *Results) {
			r.change("connect", Dropped, Reading{CPU: 50 * time.Millisecond, Allocations: 1000})
		}, []string{"no allocation by a probe: connect 1.0000, syn 0.0000, syn at ingress 0.0000"}},
		{"more memory than permitted", func(r *Results) { r.memory["syn"]++ },
			[]string{"syn probes 10000 pairs in at most 48 MiB"}},
		{"curl could not be measured", func(r *Results) {
			r.leaveOut(curlName, errors.New("it is not installed"))
		},
			[]string{
				"connect, dropped, costs at most 1/200", "connect, answered, costs at most 1/200",
				"syn, dropped, costs at most 1/4000",
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := madeUp()
			test.change(r)
			var missed []string
			for _, goal := range r.goals() {
				if !goal.Holds {
					missed = append(missed, goal.Text)
				}
			}
			if len(missed) != len(test.missed) {
				t.Fatalf("missed %q: want %q", missed, test.missed)
			}
			for i, want := range test.missed {
				if !strings.HasPrefix(missed[i], want) {
					t.Errorf("missed %q: want %q", missed[i], want)
				}
			}
		})
	}
}

// TestNothingMeasured holds no goal by default.
func TestNothingMeasured(t *testing.T) {
	for _, goal := range newResults().goals() {
		if goal.Holds {
			t.Errorf("without a measurement: %s", goal)
		}
	}
}

// TestRatioOfRounds keeps to what was measured in the same round: a machine that is slow for a
// round does not show.
func TestRatioOfRounds(t *testing.T) {
	r := newResults()
	for _, slower := range []time.Duration{1, 7, 2} {
		for name, cost := range map[string]time.Duration{curlName: 10 * time.Millisecond,
			"connect": 40 * time.Microsecond} {
			r.add(name, map[State]Reading{Dropped: {Probes: 1, CPU: slower * cost}})
		}
	}
	ratio, ok := r.ratio(curlName, "connect", Dropped)
	cost, _ := r.cost("connect", Dropped)
	if got := fmt.Sprint(ratio, ok, cost); got != "250 true 80" {
		t.Errorf("ratio, measured and cost are %s: want 250 true 80", got)
	}
}
