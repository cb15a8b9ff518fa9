// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// maxFlaps is how many flaps are kept with their times; all are counted.
const maxFlaps = 16

// DefaultConfirm is how many probes in a row must agree on a new state unless told otherwise.
const DefaultConfirm = 3

// Transition follows the probes of one pair to the change into the state that a trigger brings
// about. The zero value is not usable; NewTransition makes one.
//
// Without loss, a blocked probe was sent before traffic was allowed, and an answered one had its
// reply after it: from blocked to allowed the bracket reaches from the last blocked send to the
// first reply, or to when the connection was open on which the reply came. From allowed to blocked
// it reaches from the send of the last answered probe to the instant by which the first unanswered
// one had met the filter.
type Transition struct {
	want     State
	detector detector
	newest   time.Time // the send of the newest outcome
	// change is the newest into the wanted state, unless it was taken back, first the first of all.
	change, first Change
	changed       bool
	agreed        int // probes in a row that saw the state since the newest change
	// confirmed says that enough probes agreed for long enough, settled that the change was watched
	// for as long as it can be taken back.
	confirmed, settled bool
	flaps              []Change
	flapCount          int
	presumed           time.Time // when the pair was presumed blocked, zero if it is not
	overloaded         bool      // the path was too slow since the old state was seen last
}

// NewTransition waits for the change into the state, which is StateAllowed or StateBlocked.
func NewTransition(want State, rules Rules) Transition {
	return Transition{want: want, detector: detector{rules: rules}}
}

// Reset forgets every outcome: the transition waits as if it were new.
func (t *Transition) Reset() { *t = NewTransition(t.want, t.detector.rules) }

// takeBack forgets the changes of a pair that is back in its old state, but not that it is: what
// comes is a change from there.
func (t *Transition) takeBack() {
	fresh := NewTransition(t.want, t.detector.rules)
	fresh.detector, fresh.newest, fresh.overloaded = t.detector, t.newest, t.overloaded
	*t = fresh
}

// Observe takes the outcome of the next probe. Outcomes come in the order of their sends; one that
// was sent no later than the newest before it is a duplicate and changes nothing.
func (t *Transition) Observe(o Outcome) {
	if !o.Sent.After(t.newest) {
		return
	}

	t.newest = o.Sent
	t.overloaded = t.overloaded || o.Overloaded
	change, changed := t.detector.observe(o)
	change.Overloaded = t.overloaded
	if t.agrees(o) && t.detector.state != t.want {
		t.overloaded = false
	}
	switch {
	case changed:
		t.record(change)
	case t.agrees(o):
		t.agreed++
	case o.Verdict.Blocked():
		t.agreed = 0
	}

	if t.agrees(o) {
		t.conclude(o.Sent)
	}
}

// Presume takes in that so many probes in a row have no reply by the given instant, though theirs
// is overdue (see [RoundTrips]); 0 is that a reply has come after all. A presumption only tells
// sooner what the outcomes are likely to show: the transition is theirs.
func (t *Transition) Presume(overdue int, at time.Time) {
	switch {
	case t.want != StateBlocked || t.detector.state == StateBlocked:
	case overdue == 0:
		t.presumed = time.Time{}
	case t.presumed.IsZero() && overdue >= t.detector.rules.confirm():
		t.presumed = at
	}
}

// Presumed is when the pair was presumed to be blocked, before outcomes showed it: zero if it was
// not, or a reply came.
func (t *Transition) Presumed() time.Time { return t.presumed }

// conclude decides whether enough was seen by the time of a send that shows the state.
func (t *Transition) conclude(sent time.Time) {
	if !t.changed || t.detector.state != t.want {
		return
	}
	// A block has been confirmed by what the detector took to see it.
	enough := t.want == StateBlocked || t.agreed >= t.detector.rules.confirm() &&
		t.detector.lasted(t.change.Bracket.Upper, sent)
	t.confirmed = t.confirmed || enough

	hold := t.detector.rules.Hold
	if t.confirmed && (hold == 0 || !sent.Before(t.change.Bracket.Upper.Add(hold))) {
		t.settled = true
	}
}

// agrees reports whether the outcome shows the state that the pair is in.
func (t *Transition) agrees(o Outcome) bool {
	if o.Verdict == Ambiguous || o.Verdict == Unanswered {
		return false
	}
	return (o.Verdict == Allowed) == (t.detector.state == StateAllowed)
}

// record takes in a change of state. The newest into the wanted state is the transition. One that
// is taken back before it has settled was a flap, and so is every later one: a state that did not
// last is no result.
func (t *Transition) record(change Change) {
	t.agreed = 1
	if change.To == StateBlocked {
		t.agreed = t.detector.run
	} else {
		t.presumed = time.Time{}
	}

	switch {
	case t.want == StateBlocked && !change.Bracket.Bounded():
		// It was never allowed: that is where it began, not a change.
	case t.settled:
		t.flap(change)
	case change.To == t.want:
		t.change, t.changed = change, true
		if t.first == (Change{}) {
			t.first = change
		}
	case t.changed:
		t.flap(t.change)
		t.flap(change)
		t.change, t.changed, t.confirmed = Change{}, false, false
	}
}

func (t *Transition) flap(change Change) {
	t.flapCount++
	if len(t.flaps) < maxFlaps {
		t.flaps = append(t.flaps, change)
	}
}

// Want is the state that is waited for.
func (t *Transition) Want() State { return t.want }

// Changed reports whether the wanted state was seen, confirmed or not, and not taken back.
func (t *Transition) Changed() bool { return t.changed }

// Confirmed reports whether as many probes in a row as the rules demand saw the wanted state, for
// long enough.
func (t *Transition) Confirmed() bool { return t.confirmed }

// Settled reports whether the transition is confirmed and was watched for as long as the rules say.
func (t *Transition) Settled() bool { return t.settled }

// Overloaded reports whether nobody can tell what the pair did, since the path was too slow when it
// changed, or ever since its old state was seen.
func (t *Transition) Overloaded() bool {
	if t.changed {
		return t.change.Overloaded
	}
	return t.overloaded
}

// Change is the change into the wanted state, zero before it was seen, and after it was taken back.
func (t *Transition) Change() Change { return t.change }

// First is the first change into the wanted state, even if it was taken back: what must never be
// has happened then.
func (t *Transition) First() Change { return t.first }

// State is the state that the pair is in, as far as its probes have shown it.
func (t *Transition) State() State { return t.detector.state }

// Baseline is how the newest probe before the transition showed the old state, Ambiguous if none
// did.
func (t *Transition) Baseline() Verdict {
	if t.changed {
		return t.change.Before
	}
	if t.want == StateBlocked && !t.detector.lastOpen.IsZero() {
		return Allowed
	}
	return t.detector.failure
}

// Flaps are the first changes of state around and after the transition, at most 16, and the number
// of all of them.
func (t *Transition) Flaps() ([]Change, int) { return t.flaps, t.flapCount }

// Lost counts the probes that failed between answered ones, too few in a row to be a change.
func (t *Transition) Lost() uint64 { return t.detector.lost }
