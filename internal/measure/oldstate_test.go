// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"slices"
	"testing"
	"time"
)

func TestOldState(t *testing.T) {
	twice := Rules{Confirm: 2}
	outcome := func(number int, verdict Verdict) Outcome {
		return sent(20*number, verdict, 20*number+1)
	}
	tests := []struct {
		name        string
		want        State
		unannounced bool
		verdicts    []Verdict
		trigger     time.Duration // since the first send, 0 if none is known of
		changes     []bool        // of the proof, by outcome
		changed     bool
		lower       int // of the transition's bracket, in milliseconds
	}{
		{
			name: "without a probe nothing is proved",
			want: StateAllowed,
		},
		{
			name:     "a failure that may be a loss proves no block",
			want:     StateAllowed,
			verdicts: []Verdict{Dropped}, changes: []bool{false},
		},
		{
			name:     "as many failures as confirm a state prove a block",
			want:     StateAllowed,
			verdicts: []Verdict{Dropped, Dropped}, changes: []bool{false, true},
		},
		{
			name:     "one reply proves that a pair is allowed",
			want:     StateBlocked,
			verdicts: []Verdict{Ambiguous, Allowed}, changes: []bool{false, true},
		},
		{
			name: "what happened on the way to the old state is forgotten",
			want: StateAllowed, trigger: 60 * time.Millisecond,
			verdicts: []Verdict{Allowed, Dropped, Dropped, Allowed, Allowed},
			changes:  []bool{false, false, true, false, false}, changed: true, lower: 40,
		},
		{
			name:     "a new state before the trigger refutes the proof",
			want:     StateAllowed,
			verdicts: []Verdict{Dropped, Dropped, Allowed}, changes: []bool{false, true, true},
		},
		{
			name:     "what was refuted can be proved again",
			want:     StateAllowed,
			verdicts: []Verdict{Dropped, Dropped, Allowed, Dropped, Dropped},
			changes:  []bool{false, true, true, false, true},
		},
		{
			name:     "a block before the trigger refutes that a pair is allowed",
			want:     StateBlocked,
			verdicts: []Verdict{Allowed, Dropped, Dropped, Allowed},
			changes:  []bool{true, false, true, true},
		},
		{
			name: "after the trigger nothing is proved",
			want: StateAllowed, trigger: 20 * time.Millisecond,
			verdicts: []Verdict{Dropped, Dropped, Dropped}, changes: []bool{false, false, false},
		},
		{
			name: "after the trigger nothing is refuted",
			want: StateAllowed, trigger: 40 * time.Millisecond,
			verdicts: []Verdict{Dropped, Dropped, Allowed, Allowed},
			changes:  []bool{false, true, false, false}, changed: true, lower: 20,
		},
		{
			name: "a reply after the trigger may be its effect, whenever its probe was sent",
			want: StateAllowed, trigger: 40500 * time.Microsecond,
			verdicts: []Verdict{Dropped, Dropped, Allowed, Allowed},
			changes:  []bool{false, true, false, false}, changed: true, lower: 20,
		},
		{
			name: "a reply before the trigger refutes the proof",
			want: StateAllowed, trigger: 41500 * time.Microsecond,
			verdicts: []Verdict{Dropped, Dropped, Allowed, Dropped},
			changes:  []bool{false, true, true, false},
		},
		{
			name: "before an unannounced trigger a change that is taken back was not its effect",
			want: StateAllowed, unannounced: true,
			verdicts: []Verdict{Dropped, Dropped, Allowed, Dropped, Dropped},
			changes:  []bool{false, true, true, false, true},
		},
		{
			name: "before an unannounced trigger the last change may be its effect",
			want: StateAllowed, unannounced: true,
			verdicts: []Verdict{Allowed, Dropped, Dropped, Allowed, Allowed},
			changes:  []bool{false, false, true, true, false}, changed: true, lower: 40,
		},
		{
			name:        "before an unannounced trigger a change may be its effect",
			want:        StateAllowed,
			unannounced: true, verdicts: []Verdict{Dropped, Allowed, Allowed},
			changes: []bool{false, false, false}, changed: true,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			transition, state := NewTransition(test.want, twice), OldState{
				Announced: !test.unannounced,
			}
			var changes []bool
			var trigger time.Time
			if test.trigger > 0 {
				trigger = at(0).Add(test.trigger)
			}
			proved := false
			for number, verdict := range test.verdicts {
				transition.Observe(outcome(number, verdict))
				changed := state.Observe(&transition, trigger)
				changes = append(changes, changed)
				proved = proved != changed
				if state.Proved() != proved {
					t.Errorf("after outcome %d it is proved: %t; the changes say %t", number,
						state.Proved(), proved)
				}
			}

			if !slices.Equal(changes, test.changes) {
				t.Errorf("the proof changes %v; want %v", changes, test.changes)
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
