// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"slices"
	"testing"
)

func TestOldState(t *testing.T) {
	const never = -1
	twice := Rules{Confirm: 2}
	outcome := func(number int, verdict Verdict) Outcome {
		return sent(20*number, verdict, 20*number+1)
	}
	tests := []struct {
		name        string
		want        State
		unannounced bool
		verdicts    []Verdict
		announced   int // how many outcomes come before the announcement
		news        []bool
		changed     bool
		lower       int // of the transition's bracket, in milliseconds
	}{
		{
			name: "without a probe nothing is proved",
			want: StateAllowed, announced: never,
		},
		{
			name: "a failure that may be a loss proves no block",
			want: StateAllowed, announced: never,
			verdicts: []Verdict{Dropped}, news: []bool{false},
		},
		{
			name: "as many failures as confirm a state prove a block",
			want: StateAllowed, announced: never,
			verdicts: []Verdict{Dropped, Dropped}, news: []bool{false, true},
		},
		{
			name: "one reply proves that a pair is allowed",
			want: StateBlocked, announced: never,
			verdicts: []Verdict{Ambiguous, Allowed}, news: []bool{false, true},
		},
		{
			name: "what happened on the way to the old state is forgotten",
			want: StateAllowed, announced: 3,
			verdicts: []Verdict{Allowed, Dropped, Dropped, Allowed, Allowed},
			news:     []bool{false, false, true, false, false}, changed: true, lower: 40,
		},
		{
			name: "a new state before the announcement refutes the proof",
			want: StateAllowed, announced: never,
			verdicts: []Verdict{Dropped, Dropped, Allowed}, news: []bool{false, true, true},
		},
		{
			name: "what was refuted can be proved again",
			want: StateAllowed, announced: never,
			verdicts: []Verdict{Dropped, Dropped, Allowed, Dropped, Dropped},
			news:     []bool{false, true, true, false, true},
		},
		{
			name:      "a block before the announcement refutes that a pair is allowed",
			want:      StateBlocked,
			announced: never, verdicts: []Verdict{Allowed, Dropped, Dropped, Allowed},
			news: []bool{true, false, true, true},
		},
		{
			name: "after the announcement nothing is proved",
			want: StateAllowed, announced: 1,
			verdicts: []Verdict{Dropped, Dropped, Dropped}, news: []bool{false, false, false},
		},
		{
			name: "after the announcement nothing is refuted",
			want: StateAllowed, announced: 2,
			verdicts: []Verdict{Dropped, Dropped, Allowed, Allowed},
			news:     []bool{false, true, false, false}, changed: true, lower: 20,
		},
		{
			name: "before an unannounced trigger a change that is taken back was not its effect",
			want: StateAllowed, announced: never,
			unannounced: true, verdicts: []Verdict{Dropped, Dropped, Allowed, Dropped, Dropped},
			news: []bool{false, true, true, false, true},
		},
		{
			name: "before an unannounced trigger the last change may be its effect",
			want: StateAllowed, announced: never, unannounced: true,
			verdicts: []Verdict{Allowed, Dropped, Dropped, Allowed, Allowed},
			news:     []bool{false, false, true, true, false}, changed: true, lower: 40,
		},
		{
			name: "before an unannounced trigger a change may be its effect",
			want: StateAllowed, announced: never,
			unannounced: true, verdicts: []Verdict{Dropped, Allowed, Allowed},
			news: []bool{false, false, false}, changed: true,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			transition, state := NewTransition(test.want, twice), OldState{
				Announced: !test.unannounced,
			}
			var news []bool
			proved := false
			for number, verdict := range test.verdicts {
				if number == test.announced {
					state.Close()
				}
				transition.Observe(outcome(number, verdict))
				changed := state.Observe(&transition)
				news = append(news, changed)
				proved = proved != changed
				if state.Proved() != proved {
					t.Errorf("after outcome %d it is proved: %t; the news said %t", number,
						state.Proved(), proved)
				}
			}

			if !slices.Equal(news, test.news) {
				t.Errorf("the news are %v; want %v", news, test.news)
			}
			if transition.Changed() != test.changed {
				t.Errorf("the transition changed: %t; want %t", transition.Changed(), test.changed)
			}
			if lower := transition.Change().Bracket.Lower; test.changed &&
				!lower.Equal(at(test.lower)) {
				t.Errorf("the bracket begins at %v; want %v", lower, at(test.lower))
			}
		})
	}
}

func TestStateOpposite(t *testing.T) {
	for state, want := range map[State]State{
		StateAllowed: StateBlocked, StateBlocked: StateAllowed, StateUnknown: StateUnknown,
	} {
		if got := state.Opposite(); got != want {
			t.Errorf("the opposite of %s is %s; want %s", state, got, want)
		}
	}
}
