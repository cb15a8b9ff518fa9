// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSteady(t *testing.T) {
	// steady is what is told of a pair.
	type steady struct {
		State   State
		Bracket Bracket
		Since   time.Time
		Watched time.Duration
		Probes  int
		Changes int
	}
	allowed := func(ms int) Outcome { return sent(ms, Allowed, ms+1) }
	dropped := func(ms int) Outcome { return sent(ms, Dropped, ms+5) }
	tests := []struct {
		name     string
		outcomes []Outcome
		refuted  *Outcome // after them
		want     steady
	}{
		{name: "nothing is known without a probe"},
		{
			name:     "what proves nothing is as if it had not been sent",
			outcomes: []Outcome{sent(0, Ambiguous, 1), sent(10, Ambiguous, 11)},
		},
		{
			name:     "a pair that is allowed from the first probe on has no lower end",
			outcomes: []Outcome{allowed(0), allowed(10), allowed(20)},
			want: steady{StateAllowed, Bracket{Upper: at(1)}, at(0), 20 * time.Millisecond, 3,
				1},
		},
		{
			name:     "two that are lost are no block yet",
			outcomes: []Outcome{allowed(0), dropped(10), dropped(20), allowed(30)},
			want: steady{StateAllowed, Bracket{Upper: at(1)}, at(0), 30 * time.Millisecond, 2,
				1},
		},
		{
			name: "a block is watched from the first probe that was silent",
			outcomes: []Outcome{allowed(0), dropped(10), dropped(20), dropped(30),
				dropped(40)},
			want: steady{StateBlocked, Bracket{at(0), at(11)}, at(10), 30 * time.Millisecond, 4,
				2},
		},
		{
			name:     "one that was blocked from the beginning is watched from there, too",
			outcomes: []Outcome{dropped(0), dropped(10), dropped(20), dropped(30)},
			want: steady{StateBlocked, Bracket{Upper: at(5)}, at(0), 30 * time.Millisecond, 4,
				1},
		},
		{
			name: "a state that has come back is watched anew",
			outcomes: []Outcome{dropped(0), dropped(10), dropped(20), allowed(30), dropped(40),
				dropped(50), dropped(60)},
			want: steady{StateBlocked, Bracket{at(30), at(41)}, at(40), 20 * time.Millisecond, 3,
				3},
		},
		{
			name: "a time without probes was not watched",
			outcomes: []Outcome{dropped(0), dropped(10), dropped(20), dropped(200),
				dropped(210)},
			want: steady{StateBlocked, Bracket{Upper: at(5)}, at(200), 10 * time.Millisecond, 2,
				1},
		},
		{
			name:     "failures with such a time between them are not in a row",
			outcomes: []Outcome{allowed(0), dropped(10), dropped(20), dropped(200)},
			want:     steady{StateAllowed, Bracket{Upper: at(1)}, time.Time{}, 0, 0, 1},
		},
		{
			name:     "a reply that comes after all shows that it was allowed",
			outcomes: []Outcome{allowed(0), dropped(10), dropped(20), dropped(30)},
			refuted:  &Outcome{Verdict: Allowed, Sent: at(20), SentBy: at(20), Done: at(35)},
			want:     steady{StateAllowed, Bracket{Upper: at(35)}, at(20), 0, 1, 3},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewSteady(Rules{Confirm: 3}, 100*time.Millisecond)
			for _, o := range test.outcomes {
				s.Observe(o)
			}
			if test.refuted != nil {
				s.Refute(*test.refuted)
			}
			got := steady{s.State(), s.Change().Bracket, s.Since(), s.Watched(), s.Probes(),
				s.Changes()}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the pair differs (-want +got):\n%s", diff)
			}
		})
	}
}

// What was sent before a reply came that refutes a presumption is no block, whenever it is told of.
func TestSteadyAfterARefutation(t *testing.T) {
	s := NewSteady(Rules{Confirm: 3}, 100*time.Millisecond)
	for _, ms := range []int{10, 20, 30} {
		s.Observe(sent(ms, Dropped, ms+5))
	}
	s.Refute(Outcome{Verdict: Allowed, Sent: at(10), SentBy: at(10), Done: at(75)})
	for _, ms := range []int{40, 50, 60, 70} {
		s.Observe(sent(ms, Dropped, ms+5))
	}
	if s.State() != StateAllowed {
		t.Errorf("the pair is %s; want allowed", s.State())
	}
}
