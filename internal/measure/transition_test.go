// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math/rand/v2"
	"testing"
	"time"
)

// epoch is an arbitrary instant for tests.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

// sent is the outcome of a probe that was sent and whose verdict was known at these milliseconds.
func sent(ms int, verdict Verdict, done int) Outcome {
	return Outcome{Verdict: verdict, Sent: at(ms), SentBy: at(ms), Done: at(done)}
}

// opened is the outcome of a probe whose connection was open at a time, but that had no response.
func opened(ms, open, done int) Outcome {
	o := sent(ms, Unanswered, done)
	o.Opened = at(open)
	return o
}

func TestTransition(t *testing.T) {
	thrice := Rules{Confirm: 3}
	tests := []struct {
		name      string
		want      State
		rules     Rules
		outcomes  []Outcome
		bracket   Bracket
		base      Verdict
		confirmed bool
		settled   bool
		flaps     int
		lost      uint64
	}{
		{name: "nothing was sent, so nothing is decided", want: StateAllowed},
		{
			name: "only blocked probes decide nothing", want: StateAllowed, base: Dropped,
			outcomes: []Outcome{sent(0, Dropped, 500), sent(10, Dropped, 510)},
		},
		{
			name: "the bracket reaches from the last blocked send to the first reply",
			want: StateAllowed,
			outcomes: []Outcome{sent(0, Dropped, 500), sent(10, Dropped, 510),
				sent(20, Allowed, 21), sent(41, Allowed, 42)},
			bracket:   Bracket{at(10), at(21)},
			confirmed: true, settled: true, base: Dropped,
		},
		{
			name: "a first probe that succeeds leaves no lower end", want: StateAllowed,
			outcomes: []Outcome{sent(0, Allowed, 1), sent(21, Allowed, 22)},
			bracket:  Bracket{time.Time{}, at(1)}, confirmed: true, settled: true,
		},
		{
			name: "as many replies as confirm do not within a moment", want: StateAllowed,
			rules: thrice, base: Dropped,
			outcomes: []Outcome{
				sent(0, Dropped, 9), sent(10, Allowed, 11), sent(12, Allowed, 13),
				sent(14, Allowed, 15),
			},
			bracket: Bracket{at(0), at(11)},
		},
		{
			name: "a burst of losses just after the trigger is no block", want: StateBlocked,
			rules: thrice, base: Allowed, lost: 4,
			outcomes: []Outcome{
				sent(49, Allowed, 50), sent(50, Dropped, 550), sent(51, Dropped, 551),
				sent(52, Dropped, 552), sent(53, Dropped, 553), sent(54, Allowed, 55),
				sent(250, Dropped, 750), sent(251, Dropped, 751), sent(252, Dropped, 752),
				sent(270, Dropped, 770),
			},
			bracket: Bracket{at(54), at(251)}, confirmed: true, settled: true,
		},
		{
			name: "on a slow path a block takes four of the slowest round trips",
			want: StateBlocked, rules: thrice, base: Allowed,
			outcomes: []Outcome{
				sent(0, Allowed, 10), sent(20, Dropped, 520), sent(30, Dropped, 530),
				sent(40, Dropped, 540), sent(59, Dropped, 559),
			},
		},
		{
			name: "four of the slowest round trips are enough",
			want: StateBlocked, rules: thrice, base: Allowed,
			outcomes: []Outcome{
				sent(0, Allowed, 10), sent(20, Dropped, 520), sent(30, Dropped, 530),
				sent(40, Dropped, 540), sent(60, Dropped, 560),
			},
			bracket: Bracket{at(0), at(30)}, confirmed: true, settled: true,
		},
		{
			name: "an ambiguous probe proves nothing and only widens the bracket",
			want: StateAllowed,
			outcomes: []Outcome{sent(0, Rejected, 1), sent(10, Ambiguous, 10),
				sent(20, Allowed, 21), sent(41, Allowed, 42)},
			bracket: Bracket{at(0), at(21)}, confirmed: true, settled: true, base: Rejected,
		},
		{
			name: "a duplicate is one probe, not two", want: StateAllowed, rules: Rules{Confirm: 2},
			outcomes: []Outcome{sent(0, Dropped, 9), sent(10, Allowed, 11), sent(10, Allowed, 11)},
			bracket:  Bracket{at(0), at(11)}, base: Dropped,
		},
		{
			name: "replies in a row confirm, and a lost probe between them only delays that",
			want: StateAllowed, rules: thrice, base: Dropped,
			outcomes: []Outcome{
				sent(0, Dropped, 9), sent(10, Allowed, 11), sent(20, Dropped, 29),
				sent(30, Allowed, 31), sent(40, Allowed, 41), sent(50, Allowed, 51),
			},
			bracket: Bracket{at(0), at(11)}, confirmed: true, settled: true, lost: 1,
		},
		{
			name: "a moment of grace that is taken back is a flap and not the transition",
			want: StateAllowed, rules: thrice, base: Dropped,
			outcomes: []Outcome{
				sent(0, Dropped, 9), sent(10, Allowed, 11), sent(20, Dropped, 29),
				sent(30, Dropped, 39),
				sent(40, Dropped, 49), sent(50, Allowed, 51), sent(60, Allowed, 61),
				sent(70, Allowed, 71), sent(80, Allowed, 81),
			},
			bracket: Bracket{at(40), at(51)}, confirmed: true, settled: true, flaps: 2,
		},
		{
			name: "a held transition is watched until the hold is over",
			want: StateAllowed, rules: Rules{Hold: 40 * time.Millisecond}, base: Dropped, lost: 1,
			outcomes: []Outcome{
				sent(0, Dropped, 9), sent(10, Allowed, 11), sent(20, Dropped, 29),
				sent(30, Allowed, 31), sent(40, Allowed, 41),
			},
			bracket: Bracket{at(0), at(11)}, confirmed: true,
		},
		{
			name: "a failure at the end of the hold may be a return that begins",
			want: StateAllowed, rules: Rules{Hold: 40 * time.Millisecond}, base: Dropped,
			outcomes: []Outcome{
				sent(0, Dropped, 9), sent(10, Allowed, 11), sent(40, Allowed, 41),
				sent(60, Dropped, 69),
			},
			bracket: Bracket{at(0), at(11)}, confirmed: true,
		},
		{
			name: "a change that is taken back within the hold is a flap, and the last counts",
			want: StateAllowed, rules: Rules{Hold: 100 * time.Millisecond}, base: Dropped, flaps: 2,
			outcomes: []Outcome{
				sent(0, Dropped, 9), sent(10, Allowed, 11), sent(40, Allowed, 41),
				sent(50, Dropped, 59), sent(60, Dropped, 69), sent(70, Dropped, 79),
				sent(80, Allowed, 81), sent(120, Allowed, 121), sent(181, Allowed, 182),
			},
			bracket: Bracket{at(70), at(81)}, confirmed: true, settled: true,
		},
		{
			name: "a state that did not last is no result", want: StateBlocked, base: Allowed,
			rules: Rules{Confirm: 3, Hold: 300 * time.Millisecond}, flaps: 2,
			outcomes: []Outcome{
				sent(290, Allowed, 291), sent(295, Dropped, 795), sent(305, Dropped, 805),
				sent(315, Dropped, 815), sent(400, Dropped, 900), sent(410, Allowed, 411),
				sent(420, Allowed, 421), sent(2000, Allowed, 2001),
			},
		},
		{
			name: "what comes after the hold changes no result", want: StateBlocked, base: Allowed,
			rules: Rules{Confirm: 3, Hold: 50 * time.Millisecond}, flaps: 1,
			outcomes: []Outcome{
				sent(0, Allowed, 1), sent(10, Dropped, 510), sent(20, Dropped, 520),
				sent(30, Dropped, 530), sent(70, Dropped, 570), sent(80, Allowed, 81),
			},
			bracket: Bracket{at(0), at(11)}, confirmed: true, settled: true,
		},
		{
			name: "from the last answered send until the first dropped probe had met the filter",
			want: StateBlocked, rules: thrice, base: Allowed,
			outcomes: []Outcome{
				sent(0, Allowed, 3), sent(10, Allowed, 12), sent(20, Dropped, 520),
				sent(30, Dropped, 530),
				sent(40, Dropped, 540),
			},
			bracket: Bracket{at(10), at(23)}, confirmed: true, settled: true,
		},
		{
			name: "the answer of a filter that rejects bounds the transition itself",
			want: StateBlocked, rules: Rules{}, base: Allowed,
			outcomes: []Outcome{sent(0, Allowed, 3), sent(10, Refused, 11), sent(30, Refused, 31)},
			bracket:  Bracket{at(0), at(11)}, confirmed: true, settled: true,
		},
		{
			name: "a lost probe before a transition to blocked is none, and its bracket allows " +
				"for it",
			want: StateBlocked, rules: Rules{Confirm: 2, Losses: 1}, base: Allowed,
			outcomes: []Outcome{
				sent(0, Allowed, 1), sent(10, Dropped, 510), sent(20, Allowed, 21),
				sent(30, Dropped, 530), sent(40, Dropped, 540), sent(50, Dropped, 550),
			},
			bracket: Bracket{at(20), at(41)}, confirmed: true, settled: true, lost: 1,
		},
		{
			name: "who was never allowed cannot become blocked", want: StateBlocked,
			outcomes: []Outcome{sent(0, Dropped, 500), sent(10, Dropped, 510)}, base: Dropped,
		},
		{
			name: "one reply within the hold takes a block back", want: StateBlocked, base: Allowed,
			rules: Rules{Confirm: 2, Hold: time.Second},
			outcomes: []Outcome{
				sent(0, Allowed, 1), sent(10, Dropped, 510), sent(30, Dropped, 530),
				sent(31, Allowed, 32),
				sent(40, Dropped, 540), sent(60, Dropped, 560), sent(2000, Dropped, 2500),
			},
			bracket: Bracket{at(31), at(41)}, confirmed: true, settled: true, flaps: 2,
		},
		{
			name: "an open connection without a response is no sign of a block", want: StateBlocked,
			base:     Allowed,
			outcomes: []Outcome{sent(0, Allowed, 1), sent(10, Unanswered, 510)},
		},
		{
			name: "a connection that opened between two drops ends a run of them",
			want: StateBlocked, rules: thrice, base: Allowed, lost: 2,
			outcomes: []Outcome{
				sent(0, Allowed, 1), sent(10, Dropped, 510), sent(20, Dropped, 520),
				opened(30, 31, 10_030), sent(40, Dropped, 540), sent(50, Dropped, 550),
			},
		},
		{
			name: "a connection that opened is later than a block's lower end",
			want: StateBlocked, rules: thrice, base: Allowed, lost: 2,
			outcomes: []Outcome{
				sent(0, Allowed, 1), sent(10, Dropped, 510), sent(20, Dropped, 520),
				opened(30, 31, 10_030), sent(40, Dropped, 540), sent(50, Dropped, 550),
				sent(60, Dropped, 560),
			},
			bracket: Bracket{at(30), at(41)}, confirmed: true, settled: true,
		},
		{
			name: "a connection that opened does not show that a pair is blocked",
			want: StateAllowed, base: Dropped,
			outcomes: []Outcome{
				sent(0, Dropped, 500), opened(10, 11, 10_010), opened(20, 21, 10_020),
				sent(30, Allowed, 31), sent(60, Allowed, 61),
			},
			bracket: Bracket{at(0), at(31)}, confirmed: true, settled: true,
		},
		{
			name: "connections without a response are no return to the old state",
			want: StateAllowed, rules: thrice, base: Dropped,
			outcomes: []Outcome{
				sent(0, Dropped, 9), sent(10, Allowed, 11), opened(20, 21, 10_020),
				opened(30, 31, 10_030), opened(40, 41, 10_040), opened(50, 51, 10_050),
			},
			bracket: Bracket{at(0), at(11)},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			transition := NewTransition(test.want, test.rules)
			for _, outcome := range test.outcomes {
				transition.Observe(outcome)
			}
			if got := transition.Change().Bracket; got != test.bracket {
				t.Errorf("bracket %v; want %v", got, test.bracket)
			}
			if transition.Confirmed() != test.confirmed || transition.Settled() != test.settled {
				t.Errorf("confirmed %v, settled %v; want %v, %v",
					transition.Confirmed(), transition.Settled(), test.confirmed, test.settled)
			}
			if got := transition.Baseline(); got != test.base {
				t.Errorf("baseline %v; want %v", got, test.base)
			}
			if _, got := transition.Flaps(); got != test.flaps {
				t.Errorf("%d flaps; want %d", got, test.flaps)
			}
			if got := transition.Lost(); got != test.lost {
				t.Errorf("%d lost; want %d", got, test.lost)
			}
		})
	}
}

// TestPresume presumes a block once as many replies are overdue as confirm one, takes that back
// when one comes, and leaves the transition to the outcomes.
func TestPresume(t *testing.T) {
	blocked := NewTransition(StateBlocked, Rules{Confirm: 3})
	expect := func(when string, presumed time.Time) {
		t.Helper()
		if got := blocked.Presumed(); !got.Equal(presumed) {
			t.Errorf("%s: presumed blocked at %v; want %v", when, got, presumed)
		}
	}
	blocked.Observe(sent(0, Allowed, 1))
	blocked.Presume(2, at(20))
	expect("two of three", time.Time{})
	blocked.Presume(3, at(30))
	blocked.Presume(4, at(40))
	expect("three of three, and more", at(30))
	blocked.Presume(0, at(45))
	expect("a reply came", time.Time{})
	blocked.Presume(3, at(60))
	if blocked.Changed() {
		t.Error("what is presumed is taken for a change")
	}
	for _, ms := range []int{50, 51, 70} {
		blocked.Observe(sent(ms, Dropped, ms+500))
	}
	blocked.Presume(0, at(600))
	expect("the outcomes have shown it", at(60))
	if want := (Bracket{at(0), at(51)}); !blocked.Confirmed() || blocked.Change().Bracket != want {
		t.Errorf("confirmed %t, bracket %v; want %v", blocked.Confirmed(), blocked.Change().Bracket,
			want)
	}
	blocked.Observe(sent(700, Allowed, 701))
	expect("it is allowed again", time.Time{})
	allowed := NewTransition(StateAllowed, Rules{})
	allowed.Observe(sent(0, Allowed, 1))
	if allowed.Presume(5, at(20)); !allowed.Presumed().IsZero() {
		t.Error("a pair that is to be allowed is presumed blocked")
	}
}

// network is one that changes once, as packets meet its filter, and loses no more packets in a
// row than the rules allow.
type network struct {
	want    State
	rules   Rules
	sends   []time.Time
	forward []time.Duration // from the send to the filter
	back    []time.Duration // from the filter to the arrival of the reply
	lost    []bool
	timeout time.Duration
	truth   time.Time
}

// The longest way to the filter in these worlds, the shortest way back, and the longest.
const (
	longestForward = 5 * time.Millisecond
	shortestBack   = 5 * time.Millisecond
	longestBack    = 200 * time.Millisecond
)

func drawNetwork(random *rand.Rand) network {
	w := network{want: StateAllowed, timeout: time.Second, rules: Rules{Losses: random.IntN(3)}}
	w.rules.Confirm = w.rules.Losses + 1 + random.IntN(3)
	if random.IntN(2) == 0 {
		w.want = StateBlocked
	}
	now, lost := epoch, 0
	for range 100 + random.IntN(60) { // long enough for four of the longest round trips
		now = now.Add(time.Duration(1_000_000 + random.IntN(50_000_000)))
		w.sends = append(w.sends, now)
		// Packets may overtake each other on their way.
		w.forward = append(w.forward, time.Duration(random.Int64N(int64(longestForward))))
		w.back = append(w.back,
			shortestBack+time.Duration(random.Int64N(int64(longestBack-shortestBack))))
		if lost++; random.IntN(10) > 0 || lost > w.rules.Losses {
			lost = 0
		}
		w.lost = append(w.lost, lost > 0)
	}
	first, last := w.sends[0], w.sends[len(w.sends)-1]
	w.truth = first.Add(time.Duration(random.Int64N(int64(last.Sub(first)))))
	return w
}

// meets is when a probe's packet is at the filter.
func (w network) meets(i int) time.Time { return w.sends[i].Add(w.forward[i]) }

// outcome is what becomes of a probe.
func (w network) outcome(i int) Outcome {
	o := Outcome{Verdict: Dropped, Sent: w.sends[i], SentBy: w.sends[i],
		Done: w.sends[i].Add(w.timeout)}
	meets := w.meets(i)
	if (meets.Before(w.truth) == (w.want == StateBlocked)) && !w.lost[i] {
		o.Verdict, o.Done = Allowed, meets.Add(w.back[i])
	}
	return o
}

// widest is the longest distance between a probe and the one that many later, and a round trip.
func (w network) widest() time.Duration {
	var widest time.Duration
	// The probe before the change, that after it, and between them as many as may be lost, on
	// either side of it.
	for i, apart := 0, 2*w.rules.Losses+1; i < len(w.sends); i++ {
		widest = max(widest, w.sends[min(i+apart, len(w.sends)-1)].Sub(w.sends[i]))
	}
	// A failure counts once the last reply has arrived.
	return widest + 2*(longestForward+longestBack)
}

// unsteady is a network that changes between the two states, the last time at the truth.
type unsteady struct {
	want     State
	losses   int
	hold     time.Duration
	changes  []time.Time
	truth    time.Time
	outcomes []Outcome
}

// drawUnsteady has each state last for long enough that it is seen, and less than the hold, but for
// the last one. Every probe makes its way in a millisecond.
func drawUnsteady(random *rand.Rand) unsteady {
	u := unsteady{want: StateAllowed, losses: random.IntN(3), hold: 300 * time.Millisecond}
	if random.IntN(2) == 0 {
		u.want = StateBlocked
	}
	now := epoch.Add(200 * time.Millisecond)
	for range 1 + 2*random.IntN(4) {
		u.changes = append(u.changes, now)
		now = now.Add(time.Duration(60+random.IntN(200)) * time.Millisecond)
	}
	u.truth = u.changes[len(u.changes)-1]

	state, next, burst, answered := u.want.Opposite(), 0, 0, false
	for sent := epoch; sent.Before(u.truth.Add(2 * u.hold)); {
		for next < len(u.changes) && !sent.Before(u.changes[next]) {
			state, next, burst = state.Opposite(), next+1, random.IntN(u.losses+1)
			answered = false
		}
		// Any burst that is over before the next change, or as many losses as are tolerated.
		if answered && random.IntN(20) == 0 {
			burst = random.IntN(u.losses + 1)
			if next == len(u.changes) || u.changes[next].Sub(sent) > 40*time.Millisecond {
				burst = random.IntN(12)
			}
		}
		o := Outcome{Verdict: Dropped, Sent: sent, SentBy: sent, Done: sent.Add(time.Second)}
		if state == StateAllowed && burst == 0 {
			o.Verdict, o.Done = Allowed, sent.Add(time.Millisecond)
		}
		answered = o.Verdict == Allowed
		burst = max(0, burst-1)
		u.outcomes = append(u.outcomes, o)
		sent = sent.Add(time.Duration(500+random.IntN(1000)) * time.Microsecond)
	}
	return u
}

// FuzzTransition takes any sequence of outcomes, in any order and with duplicates: what is known
// never contradicts itself.
func FuzzTransition(f *testing.F) {
	f.Add(byte(1), byte(0), []byte{1, 10, 2, 20})
	f.Add(byte(2), byte(0x12), []byte{1, 10, 1, 10, 2, 20, 2, 30})
	f.Fuzz(func(t *testing.T, want, rules byte, script []byte) {
		transition := NewTransition(State(1+want%2), Rules{
			Confirm: int(rules & 7), Losses: int(rules>>3) % (MaxLosses + 1),
			Hold: time.Duration(rules>>6) * time.Millisecond,
		})
		unpresumed := transition
		var seen int
		for ; len(script) >= 2; script = script[2:] {
			verdict, when := Verdict(script[0]%VerdictCount), int(script[1])
			transition.Presume(int(script[0]>>3), at(when))
			transition.Observe(sent(when, verdict, when+int(script[0])))
			unpresumed.Observe(sent(when, verdict, when+int(script[0])))
			if transition.Change() != unpresumed.Change() ||
				transition.Settled() != unpresumed.Settled() {
				t.Fatalf("a presumption has made %+v of %+v", transition.Change(),
					unpresumed.Change())
			}
			if _, flaps := transition.Flaps(); flaps < seen {
				t.Fatalf("%d flaps have become %d", seen, flaps)
			} else {
				seen = flaps
			}
			change := transition.Change()
			if transition.Changed() && change.Bracket.Bounded() &&
				change.Bracket.Upper.Before(change.Bracket.Lower) {
				t.Fatalf("bracket %v ends before it begins", change.Bracket)
			}
			if transition.Confirmed() && !transition.Changed() || transition.Settled() &&
				!transition.Confirmed() {
				t.Fatal("settled without being confirmed, or confirmed without a change")
			}
			if transition.Settled() && change.To != State(1+want%2) {
				t.Fatalf("settled in state %v", change.To)
			}
		}
	})
}

// What is dropped may have waited for its verdict as long as what others sent at that time did,
// which the pair's own replies of before do not tell.
func TestDroppedAfterAWait(t *testing.T) {
	transition := NewTransition(StateBlocked, Rules{Confirm: 3})
	for i := range 60 {
		o := Outcome{Verdict: Allowed, Sent: at(10 * i), SentBy: at(10 * i), Done: at(10*i + 2)}
		if i >= 30 {
			o.Verdict, o.Done, o.Way = Dropped, at(10*i+500), 90*time.Millisecond
		}
		transition.Observe(o)
	}
	want := Bracket{Lower: at(290), Upper: at(300 + 90)}
	if got := transition.Change().Bracket; got != want {
		t.Errorf("the bracket is %v; want %v", got, want)
	}
}
