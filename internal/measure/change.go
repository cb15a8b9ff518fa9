// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// State is what the network does with a pair's traffic.
type State uint8

// The states.
const (
	StateUnknown State = iota
	StateAllowed
	StateBlocked
)

// String is the state's name in messages, metrics and records.
func (s State) String() string {
	return [...]string{"unknown", "allowed", "blocked"}[min(int(s), 2)]
}

// Opposite is the other state of the two that can be known, unknown of unknown.
func (s State) Opposite() State {
	switch s {
	case StateAllowed:
		return StateBlocked
	case StateBlocked:
		return StateAllowed
	default:
		return StateUnknown
	}
}

// Change is the passage of a pair into a state, at an instant that the bracket contains.
type Change struct {
	To      State
	Bracket Bracket
	// Evidence is how the probe that showed the new state ended, Before how the newest that showed
	// the old one did: Ambiguous if there was none.
	Evidence, Before Verdict
	// Answered is when the reply that showed the new state had arrived, zero if there was none. The
	// bracket of a connection ends before that, when it was open.
	Answered time.Time
	// Response is the HTTP status of the probe that showed the new state, 0 without one.
	Response int
	// Overloaded says that probes which met a path that was too slow lie between the two states, so
	// that nobody saw how the one became the other.
	Overloaded bool
}

// MaxLosses is the most consecutive losses that [Rules] can tolerate.
const MaxLosses = 7

// Rules say how much evidence a change takes.
type Rules struct {
	// Confirm is how many probes in a row must agree on a new state; 0 counts as 1. They must do so
	// for a time, too: just after a trigger probes are so close together that a few of them are
	// lost at once.
	Confirm int
	// Hold is how long the new state is watched after the change. A change that is taken back
	// meanwhile is a flap.
	Hold time.Duration
	// Losses is how many probes in a row the network may lose without making a bracket wrong. It is
	// less than Confirm, and at most MaxLosses.
	Losses int
}

// confirm is the number of probes in a row that confirm a state.
func (r Rules) confirm() int { return max(1, r.Confirm, r.Losses+1) }

// Probes confirm a state if they agree for so long, and for so many of the slowest round trips:
// what makes one of them late or loses it does the same to those beside it.
const (
	confirmTime  = 20 * time.Millisecond
	confirmTrips = 4
)

// detector turns the outcomes of one pair, in the order of their sends, into changes of state.
//
// A reply is proof that the network allowed the pair at some instant between its send and its
// arrival. A failure is not: packets get lost. So one reply changes the state to allowed, and only
// as many failures in a row as the rules demand change it to blocked.
//
// Packets can overtake each other: two that were under way at the same time say nothing about an
// order of states. So a failure counts against a reply only if it was sent after the reply had
// arrived.
//
// A connection that opened but brought no response shows neither state: it is not the reply that
// was asked for, and nothing was in its way. It proves that the failures before it were not the
// beginning of a block.
type detector struct {
	rules Rules
	state State
	// lastOpen is the send of the newest probe that the network let through to an allowed pair.
	lastOpen time.Time
	// proved is when the newest of all replies arrived, or its connection was open.
	proved time.Time
	// failures are the sends of the newest failures, newest first, as many as may have been lost
	// and one.
	failures [MaxLosses + 1]time.Time
	failure  Verdict // how the newest failure ended
	// run counts the failures since the newest reply, the first of which was sent at since; bound
	// is when the first of them that cannot have been lost had passed the filter.
	run   int
	since time.Time
	bound time.Time
	lead  Verdict // how the failure at bound ended
	trips RoundTrips
	// lost counts failures between replies, too few in a row for a change.
	lost uint64
}

// observe takes the next outcome and reports the change that it completes, if it does.
func (d *detector) observe(o Outcome) (Change, bool) {
	switch {
	case o.Verdict == Allowed:
		return d.reply(o)
	case o.Verdict == Unanswered:
		d.open(o)
	case o.Verdict.Blocked():
		return d.fail(o)
	}
	return Change{}, false
}

func (d *detector) reply(o Outcome) (Change, bool) {
	old := d.state
	d.endRun(o.Done)
	d.state, d.lastOpen = StateAllowed, o.Sent
	d.trips.Add(o.Done.Sub(o.Sent))
	if old == StateAllowed {
		return Change{}, false
	}

	upper := o.Done
	if !o.Opened.IsZero() {
		upper = o.Opened
	}
	return Change{
		To: StateAllowed, Evidence: Allowed, Before: d.failure, Response: o.Response,
		Answered: o.Done,
		Bracket:  Bracket{Lower: d.failures[d.rules.Losses], Upper: upper},
	}, true
}

// open takes in a connection that was open, without a response.
func (d *detector) open(o Outcome) {
	d.endRun(o.Opened)
	if d.state == StateAllowed {
		d.lastOpen = o.Sent
	}
}

// endRun takes in that the network let a probe through by an instant: failures before that were
// losses, unless the pair is blocked.
func (d *detector) endRun(by time.Time) {
	if d.state == StateAllowed {
		d.lost += uint64(d.run)
	}
	d.run = 0
	if by.After(d.proved) {
		d.proved = by
	}
}

func (d *detector) fail(o Outcome) (Change, bool) {
	if o.Sent.Before(d.proved) {
		return Change{}, false
	}

	copy(d.failures[1:], d.failures[:])
	d.failures[0], d.failure = o.Sent, o.Verdict
	if d.run++; d.run == 1 {
		d.since = o.Sent
	}
	if d.run == d.rules.Losses+1 {
		d.bound, d.lead = d.passed(o), o.Verdict
	}
	if d.state == StateBlocked || d.run < d.rules.confirm() || !d.lasted(d.since, o.Sent) {
		return Change{}, false
	}

	change := Change{
		To: StateBlocked, Evidence: d.lead,
		Bracket: Bracket{Lower: d.lastOpen, Upper: d.bound},
	}
	if d.state == StateAllowed {
		change.Before = Allowed
	}
	d.state = StateBlocked
	return change, true
}

// lasted reports whether probes have agreed for long enough to confirm a state.
func (d *detector) lasted(since, sent time.Time) bool {
	return sent.Sub(since) >= max(confirmTime, confirmTrips*d.trips.Slowest())
}

// passed is an instant by which a failed probe had met the filter: the answer of a filter that
// rejects came after that; a packet that was dropped was there one way's time after it left, which
// is less than the time that the slowest of the newest replies took for both ways, or of those of
// others at that time: where packets wait to be filtered, the pair's own replies do not tell for
// how long those wait that get none.
func (d *detector) passed(o Outcome) time.Time {
	if o.Verdict != Dropped || d.lastOpen.IsZero() {
		return o.Done
	}
	return o.SentBy.Add(max(d.trips.Slowest(), o.Way))
}
