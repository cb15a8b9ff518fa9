// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// epoch is an arbitrary instant for tests.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

func TestTransition(t *testing.T) {
	tests := []struct {
		name    string
		sent    []int
		ended   []Outcome
		want    Bracket
		base    Verdict
		settled bool
	}{
		{
			name: "nothing was sent, so nothing is decided",
		},
		{
			name:  "only blocked probes decide nothing",
			sent:  []int{0, 10},
			ended: []Outcome{{Dropped, at(0), at(500), nil}, {Dropped, at(10), at(510), nil}},
		},
		{
			name: "the bracket reaches from the last blocked send to the first reply",
			sent: []int{0, 10, 20},
			ended: []Outcome{
				{Dropped, at(0), at(500), nil}, {Allowed, at(20), at(21), nil}, {Dropped, at(10), at(510), nil},
			},
			want: Bracket{at(10), at(21)}, base: Dropped, settled: true,
		},
		{
			name:  "an earlier probe that is still out leaves the bracket wide",
			sent:  []int{0, 10},
			ended: []Outcome{{Allowed, at(10), at(12), nil}},
			want:  Bracket{time.Time{}, at(12)},
		},
		{
			name: "a late reply of an earlier probe moves the lower end, not the upper",
			sent: []int{0, 10, 20},
			ended: []Outcome{
				{Allowed, at(20), at(21), nil}, {Allowed, at(10), at(90), nil}, {Refused, at(0), at(1), nil},
			},
			want: Bracket{at(0), at(21)}, base: Refused, settled: true,
		},
		{
			name:  "a first probe that succeeds leaves no lower end",
			sent:  []int{0},
			ended: []Outcome{{Allowed, at(0), at(1), nil}},
			want:  Bracket{time.Time{}, at(1)}, settled: true,
		},
		{
			name: "an ambiguous probe proves nothing and only widens the bracket",
			sent: []int{0, 10, 20},
			ended: []Outcome{
				{Rejected, at(0), at(1), nil}, {Ambiguous, at(10), at(10), nil}, {Allowed, at(20), at(21), nil},
			},
			want: Bracket{at(0), at(21)}, base: Rejected, settled: true,
		},
		{
			name: "a probe that is blocked after the first success is no lower end",
			sent: []int{0, 10, 20},
			ended: []Outcome{
				{Dropped, at(0), at(5), nil}, {Allowed, at(10), at(11), nil}, {Dropped, at(20), at(25), nil},
			},
			want: Bracket{at(0), at(11)}, base: Dropped, settled: true,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var transition Transition
			for _, ms := range test.sent {
				transition.Launched(at(ms))
			}
			for _, outcome := range test.ended {
				transition.Ended(outcome.Sent, outcome)
			}
			bracket, settled := transition.Bracket(), transition.Settled()
			if settled != test.settled || bracket != test.want {
				t.Errorf("Bracket() = %v, settled %v; want %v, %v", bracket, settled, test.want, test.settled)
			}
			if settled && transition.Baseline() != test.base {
				t.Errorf("Baseline() = %v; want %v", transition.Baseline(), test.base)
			}
		})
	}
}

// TestBracketContainsTransition draws schedules, round-trip times, time-outs and transition instants,
// plays a loss-free network, delivers the outcomes in the order of their arrival, and demands that
// the bracket contains the instant and is as narrow as the schedule permits.
func TestBracketContainsTransition(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		world := drawWorld(random)
		bracket, settled := world.play(t)
		if !settled {
			t.Fatalf("%+v: not settled although every probe has ended", world)
		}
		if !bracket.Contains(world.truth) {
			t.Fatalf("%+v: bracket %v does not contain the truth", world, bracket)
		}
		if width, most := bracket.Width(), world.widest(); width > most {
			t.Fatalf("%+v: bracket is %s wide, the schedule permits %s", world, width, most)
		}
	}
}

// world is a loss-free network in which everything sent before truth, as it passes the filter, is
// dropped, and everything later is answered.
type world struct {
	sends   []time.Time
	forward []time.Duration // from the send to the filter
	back    []time.Duration // from the filter to the arrival of the reply
	timeout time.Duration
	truth   time.Time
}

func drawWorld(random *rand.Rand) world {
	w := world{timeout: time.Duration(1+random.IntN(900)) * time.Millisecond}
	sent := epoch
	for range 2 + random.IntN(60) {
		sent = sent.Add(time.Duration(1_000_000 + random.IntN(50_000_000)))
		w.sends = append(w.sends, sent)
		w.forward = append(w.forward, time.Duration(random.IntN(5_000_000)))
		w.back = append(w.back, time.Duration(random.IntN(200_000_000)))
	}
	first, last := w.sends[0], w.sends[len(w.sends)-1]
	w.truth = first.Add(time.Duration(random.Int64N(int64(last.Sub(first)))))
	// The last probe always succeeds, so that there is something to decide.
	w.back[len(w.back)-1] = min(w.back[len(w.back)-1], w.timeout/2)
	w.forward[len(w.forward)-1] = min(w.forward[len(w.forward)-1], w.timeout/2)
	return w
}

// launch is a moment before the send: a probe waits for a processor.
func (w world) launch(i int) time.Time { return w.sends[i].Add(-w.forward[i] / 7) }

func (w world) outcome(i int) Outcome {
	sent := w.sends[i]
	done := sent.Add(w.forward[i] + w.back[i])
	passes := !sent.Add(w.forward[i]).Before(w.truth)
	if !passes || done.Sub(sent) > w.timeout {
		// A reply that comes after the time-out proves nothing about the filter.
		if passes {
			return Outcome{Verdict: Ambiguous, Sent: sent, Done: sent.Add(w.timeout)}
		}
		return Outcome{Verdict: Dropped, Sent: sent, Done: sent.Add(w.timeout)}
	}
	return Outcome{Verdict: Allowed, Sent: sent, Done: done}
}

// play feeds sends and outcomes in the order in which a prober would see them.
// At every step a bracket, once there is one, contains the truth.
func (w world) play(t *testing.T) (Bracket, bool) {
	type step struct {
		at   time.Time
		send bool
		of   int
	}
	var steps []step
	for i := range w.sends {
		steps = append(steps, step{w.launch(i), true, i}, step{w.outcome(i).Done, false, i})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	var transition Transition
	for _, s := range steps {
		if s.send {
			transition.Launched(w.launch(s.of))
		} else {
			transition.Ended(w.launch(s.of), w.outcome(s.of))
		}
		if transition.Allowed() && !transition.Bracket().Contains(w.truth) {
			t.Fatalf("%+v: early bracket %v does not contain the truth", w, transition.Bracket())
		}
	}
	return transition.Bracket(), transition.Settled()
}

// widest is the distance from the last blocked send to the earliest reply, by exhaustive search.
func (w world) widest() time.Duration {
	var lower, reply, first time.Time
	for i := range w.sends {
		if o := w.outcome(i); o.Verdict == Allowed {
			first, reply = earliest(first, o.Sent), earliest(reply, o.Done)
		}
	}
	for i := range w.sends {
		if o := w.outcome(i); o.Verdict == Dropped && o.Sent.Before(first) && o.Sent.After(lower) {
			lower = o.Sent
		}
	}
	if lower.IsZero() {
		return 0
	}
	return reply.Sub(lower)
}
