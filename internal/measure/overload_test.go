// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"testing"
	"time"
)

// TestOverloaded follows pairs whose path was too slow for a while: that makes no flap and no
// transition, and what nobody saw, since it lies between the two states, is told.
func TestOverloaded(t *testing.T) {
	tests := []struct {
		name                string
		want                State
		outcomes            string // b is blocked, a allowed, o overloaded
		changed, overloaded bool
	}{
		{"while it became allowed", StateAllowed, "bbboooaaaaa", true, true},
		{"before, but the old state was seen since", StateAllowed, "boobbbaaaaa", true, false},
		{"afterwards", StateAllowed, "bbbaaaaaooo", true, false},
		{"while it became blocked", StateBlocked, "aaaooobbbbb", true, true},
		{"before a block, but a reply came since", StateBlocked, "aoooaabbbbb", true, false},
		{"it stays as it was", StateBlocked, "aaaoooooooo", false, true},
		{"it stays as it was, which was seen", StateBlocked, "aaaoooooooa", false, false},
		{"never seen", StateAllowed, "ooooooooooo", false, true},
		{"nothing of the kind", StateAllowed, "bbbbbbaaaaa", true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pair := NewTransition(test.want, Rules{Confirm: 3})
			at := time.Unix(1000, 0)
			for _, letter := range test.outcomes {
				at = at.Add(10 * time.Millisecond)
				o := Outcome{Verdict: Dropped, Sent: at, SentBy: at, Done: at.Add(time.Millisecond)}
				switch letter {
				case 'a':
					o.Verdict = Allowed
				case 'o':
					o.Verdict, o.Overloaded = Ambiguous, true
				}
				pair.Observe(o)
			}
			if _, flaps := pair.Flaps(); pair.Changed() != test.changed || flaps > 0 ||
				pair.Overloaded() != test.overloaded {
				t.Errorf("changed %t, overloaded %t, %d flaps; want %t, %t, none", pair.Changed(),
					pair.Overloaded(), flaps, test.changed, test.overloaded)
			}
		})
	}
}
