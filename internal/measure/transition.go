// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"slices"
	"time"
)

// Bracket is the interval that must contain an instant. A zero Lower says that nothing bounds the
// instant from below.
type Bracket struct {
	Lower time.Time
	Upper time.Time
}

// Bounded reports whether the bracket has a lower end.
func (b Bracket) Bounded() bool { return !b.Lower.IsZero() }

// Width is the bracket's resolution, zero when it has no lower end.
func (b Bracket) Width() time.Duration {
	if !b.Bounded() {
		return 0
	}
	return b.Upper.Sub(b.Lower)
}

// Contains reports whether the instant lies in the bracket, ends included.
func (b Bracket) Contains(instant time.Time) bool {
	return !instant.Before(b.Lower) && !instant.After(b.Upper)
}

// Transition follows the probes of one pair from blocked to allowed. Probes may overlap and their
// outcomes may arrive in any order. The zero value is ready to use.
//
// Without loss, a blocked probe was sent before the transition, and a probe that was answered had
// its reply after it: the bracket reaches from the last blocked send before the first send that
// succeeded to the earliest reply. It contains the transition as soon as there is one, and it is as
// narrow as it will ever be once every probe that was sent before that first success has ended.
type Transition struct {
	outstanding []time.Time // launches without an outcome, ascending
	blocked     []Outcome   // ascending by send, pruned by forget
	first       time.Time   // the earliest send that was answered
	reply       time.Time   // the earliest reply
}

// Launched notes that a probe has been started, to be sent at that instant or a moment later. The
// instants must ascend strictly: they also name the probes.
func (t *Transition) Launched(at time.Time) {
	t.outstanding = append(t.outstanding, at)
}

// Ended notes what became of the probe that was launched at the instant.
func (t *Transition) Ended(launched time.Time, outcome Outcome) {
	if i := slices.IndexFunc(t.outstanding, launched.Equal); i >= 0 {
		t.outstanding = slices.Delete(t.outstanding, i, i+1)
	}
	switch {
	case outcome.Verdict == Allowed:
		t.first = earliest(t.first, outcome.Sent)
		t.reply = earliest(t.reply, outcome.Done)
	case outcome.Verdict.Blocked():
		t.remember(outcome)
	}
	t.forget()
}

// Allowed reports whether any probe was answered yet.
func (t *Transition) Allowed() bool { return !t.first.IsZero() }

// Settled reports whether the bracket will not become narrower: a probe was answered, and none that
// was sent before it is outstanding.
func (t *Transition) Settled() bool {
	return t.Allowed() && (len(t.outstanding) == 0 || !t.outstanding[0].Before(t.first))
}

// Bracket is the interval that contains the transition, zero before any probe was answered.
func (t *Transition) Bracket() Bracket {
	if !t.Allowed() {
		return Bracket{}
	}
	return Bracket{Lower: t.lastBlocked().Sent, Upper: t.reply}
}

// Baseline is how the pair was last blocked before it became allowed, Ambiguous if it never was.
func (t *Transition) Baseline() Verdict { return t.lastBlocked().Verdict }

// lastBlocked is the newest blocked probe that was sent before the first success, so far; the zero
// Outcome if there is none.
func (t *Transition) lastBlocked() Outcome {
	for _, outcome := range slices.Backward(t.blocked) {
		if t.first.IsZero() || outcome.Sent.Before(t.first) {
			return outcome
		}
	}
	return Outcome{}
}

func (t *Transition) remember(outcome Outcome) {
	at, _ := slices.BinarySearchFunc(t.blocked, outcome.Sent, bySend)
	t.blocked = slices.Insert(t.blocked, at, outcome)
}

// forget drops the blocked probes that can no longer become the lower end: all but the newest of
// those that are older than every send that is, or still may turn out to be, the first success.
func (t *Transition) forget() {
	limit := t.first
	if len(t.outstanding) > 0 && (limit.IsZero() || t.outstanding[0].Before(limit)) {
		limit = t.outstanding[0]
	}
	older := len(t.blocked)
	if !limit.IsZero() {
		older, _ = slices.BinarySearchFunc(t.blocked, limit, bySend)
	}
	t.blocked = slices.Delete(t.blocked, 0, max(older-1, 0))
}

func bySend(outcome Outcome, sent time.Time) int { return outcome.Sent.Compare(sent) }

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
