// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// watchOf watches a pair from the instant at(100) on, to the end at at(end).
func watchOf(keep State, rules Rules, end int, outcomes ...Outcome) Watched {
	w, begun := NewWatch(keep, rules), false
	for _, o := range outcomes {
		if !begun && !o.Sent.Before(at(100)) {
			w.Begin(at(100))
			begun = true
		}
		o.Planned, o.Interval = o.Sent, 10*time.Millisecond
		w.Observe(o)
	}
	return w.End(at(end))
}

// each is a probe every ten milliseconds, with the same verdict. The replies take one.
func each(from, to int, verdict Verdict) []Outcome {
	var all []Outcome
	for ms := from; ms < to; ms += 10 {
		done := ms + 1
		if verdict == Dropped {
			done = ms + 500
		}
		all = append(all, sent(ms, verdict, done))
	}
	return all
}

func episode(lower, upper, last, first int, probes uint64) Episode {
	return Episode{Began: Bracket{at(lower), at(upper)}, Ended: Bracket{at(last), at(first)},
		Probes: probes}
}

func unwatched(from, to int) Episode {
	return Episode{Began: Bracket{at(from), at(from)}, Ended: Bracket{at(to), at(to)}}
}

func TestWatch(t *testing.T) {
	thrice := Rules{Confirm: 3}
	hidden := episode(190, 201, 430, 441, 9)
	hidden.Unwatched = 150 * time.Millisecond
	tests := []struct {
		name     string
		keep     State
		outcomes []Outcome
		end      int
		breaches []Episode
		unknown  []Episode
		broken   bool
	}{
		{name: "a pair that stays allowed", keep: StateAllowed, end: 300,
			outcomes: each(0, 300, Allowed)},
		{name: "a pair that stays blocked", keep: StateBlocked, end: 300,
			outcomes: each(0, 300, Dropped)},
		{
			name: "an outage, between the last good probe and the first good one after it",
			keep: StateAllowed, end: 500,
			outcomes: slices.Concat(each(0, 200, Allowed), each(200, 300, Dropped),
				each(300, 500, Allowed)),
			breaches: []Episode{episode(190, 201, 290, 301, 10)},
		},
		{
			name: "an outage that lasts", keep: StateAllowed, end: 300, broken: true,
			outcomes: slices.Concat(each(0, 200, Allowed), each(200, 300, Dropped)),
			breaches: []Episode{{Began: Bracket{at(190), at(201)}, Ended: Bracket{Lower: at(290)},
				Probes: 10}},
		},
		{
			name: "probes that were lost, too few for an outage", keep: StateAllowed, end: 400,
			outcomes: slices.Concat(each(0, 200, Allowed), each(200, 220, Dropped),
				each(220, 400, Allowed)),
		},
		{
			name: "a hole of one reply", keep: StateBlocked, end: 400,
			outcomes: slices.Concat(each(0, 200, Dropped), each(200, 210, Allowed),
				each(210, 400, Dropped)),
			breaches: []Episode{episode(190, 201, 200, 211, 1)},
		},
		{
			name: "two holes", keep: StateBlocked, end: 600,
			outcomes: slices.Concat(each(0, 200, Dropped), each(200, 250, Allowed),
				each(250, 400, Dropped),
				each(400, 420, Allowed), each(420, 600, Dropped)),
			breaches: []Episode{episode(190, 201, 240, 251, 5), episode(390, 401, 410, 421, 2)},
		},
		{
			name: "what was before the watch began is no result", keep: StateAllowed, end: 200,
			outcomes: slices.Concat(each(0, 20, Allowed), each(20, 60, Dropped),
				each(60, 200, Allowed)),
		},
		{
			name: "a time without probes is unknown, and no outage", keep: StateAllowed, end: 600,
			outcomes: slices.Concat(each(0, 200, Allowed), each(400, 600, Allowed)),
			unknown:  []Episode{unwatched(190, 400)},
		},
		{
			name: "failures on both sides of it are not in a row", keep: StateAllowed, end: 600,
			outcomes: slices.Concat(each(0, 200, Allowed), each(200, 220, Dropped),
				each(400, 420, Dropped),
				each(420, 600, Allowed)),
			unknown: []Episode{unwatched(210, 400)},
		},
		{
			name: "what proves nothing is a time without probes, too", keep: StateBlocked, end: 600,
			outcomes: slices.Concat(each(0, 200, Dropped), each(200, 400, Ambiguous),
				each(400, 600, Dropped)),
			unknown: []Episode{unwatched(190, 400)},
		},
		{
			name: "what nobody saw of an outage need not have been one", keep: StateAllowed,
			end: 600,
			outcomes: slices.Concat(each(0, 200, Allowed), each(200, 260, Dropped),
				each(400, 440, Dropped),
				each(440, 600, Allowed)),
			breaches: []Episode{{Began: hidden.Began, Ended: hidden.Ended, Probes: 10,
				Unwatched: hidden.Unwatched}},
			unknown: []Episode{unwatched(250, 400)},
		},
		{
			name: "what nobody saw after an outage is no part of it", keep: StateAllowed, end: 600,
			outcomes: slices.Concat(each(0, 200, Allowed), each(200, 260, Dropped),
				each(400, 600, Allowed)),
			breaches: []Episode{episode(190, 201, 250, 401, 6)},
			unknown:  []Episode{unwatched(250, 400)},
		},
		{
			name: "nobody looked at the beginning, nor at the end", keep: StateAllowed, end: 500,
			outcomes: slices.Concat(each(0, 20, Allowed), each(250, 400, Allowed)),
			unknown:  []Episode{unwatched(100, 250), unwatched(390, 500)},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := watchOf(test.keep, thrice, test.end, test.outcomes...)
			if diff := cmp.Diff(test.breaches, got.Breaches.List); diff != "" {
				t.Errorf("the breaches differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.unknown, got.Unknown.List); diff != "" {
				t.Errorf("what is unknown differs (-want +got):\n%s", diff)
			}
			if got.Broken() != test.broken {
				t.Errorf("broken at the end: %t; want %t", got.Broken(), test.broken)
			}
		})
	}
}

// However often a pair breaks, what is kept of it is bounded, and nothing of it is lost.
func TestWatchIsBounded(t *testing.T) {
	const holes = 200
	outcomes := each(0, 100, Dropped)
	for i := range holes {
		from := 100 + 100*i
		outcomes = slices.Concat(outcomes, each(from, from+10, Allowed),
			each(from+10, from+100, Dropped))
	}
	outcomes = slices.Concat(outcomes, each(100+100*holes, 200+100*holes, Allowed))

	got := watchOf(StateBlocked, Rules{Confirm: 3}, 200+100*holes, outcomes...).Breaches
	probes, merged := uint64(0), 0
	for _, one := range got.List {
		probes, merged = probes+one.Probes, merged+one.Merged
	}
	if len(got.List) != MaxEpisodes || got.Count != holes+1 || merged != got.Count-MaxEpisodes {
		t.Errorf("%d of %d holes are kept, with %d merged", len(got.List), got.Count, merged)
	}
	if want := uint64(holes + 10); probes != want {
		t.Errorf("they had %d replies; want %d", probes, want)
	}
	if last := got.List[len(got.List)-1]; !last.Open() {
		t.Error("the last one is not open; want the one at the end")
	}
	if got.Longest.Least != 89*time.Millisecond {
		t.Errorf("the longest took %s at least; want that of the end alone", got.Longest.Least)
	}
}

func TestSpan(t *testing.T) {
	tests := []struct {
		name string
		of   Episode
		want Span
	}{
		{"both ends are bracketed", episode(0, 10, 50, 70, 1),
			Span{40 * time.Millisecond, 70 * time.Millisecond}},
		{"a single reply may have been no time", episode(0, 11, 10, 20, 1),
			Span{0, 20 * time.Millisecond}},
		{"as far as it was seen", Episode{Began: Bracket{at(0), at(10)},
			Ended: Bracket{Lower: at(50)}}, Span{40 * time.Millisecond, 50 * time.Millisecond}},
		{"nobody saw all of it", Episode{Began: Bracket{at(0), at(10)},
			Ended: Bracket{at(50), at(60)}, Unwatched: 30 * time.Millisecond},
			Span{10 * time.Millisecond, 60 * time.Millisecond}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.of.Span()); diff != "" {
				t.Errorf("it differs (-want +got):\n%s", diff)
			}
		})
	}
}

// How late probes left is the proof that the tool itself was not what stood still.
func TestWatchLateness(t *testing.T) {
	w := NewWatch(StateAllowed, Rules{})
	w.Begin(at(0))
	for ms, late := range map[int]int{10: 0, 60: 40, 70: 5} {
		o := sent(ms, Ambiguous, ms+1)
		o.Planned = at(ms - late)
		w.Observe(o)
	}
	if got := w.End(at(70)).Lateness; got != 40*time.Millisecond {
		t.Errorf("the lateness is %s; want 40ms", got)
	}
}
