// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// Steady follows the probes of one pair, to tell for how long it has been in the state that it is
// in, whichever that is. The zero value is not usable; NewSteady makes one.
type Steady struct {
	detector detector
	gap      time.Duration
	change   Change
	changes  int
	// since and newest are the sends of the first and the newest probe that showed the state, as
	// far as no gap lies between them; probes is how many there were.
	since, newest time.Time
	probes        int
	seen          time.Time // the send of the newest probe that showed anything
}

// NewSteady follows a pair of which nothing is known. A time without probes that is longer than the
// gap is no time in which the pair was watched.
func NewSteady(rules Rules, gap time.Duration) Steady {
	return Steady{detector: detector{rules: rules}, gap: gap}
}

// Observe takes the outcome of the next probe, in the order of the sends.
func (s *Steady) Observe(o Outcome) {
	if o.Verdict == Ambiguous || !o.Sent.After(s.seen) {
		return
	}

	unwatched := !s.seen.IsZero() && o.Sent.Sub(s.seen) > s.gap
	s.seen = o.Sent
	if unwatched {
		s.restart()
	}

	if change, changed := s.detector.observe(o); changed {
		s.enter(change, o)
		return
	}
	if o.Verdict == Unanswered || (o.Verdict == Allowed) != (s.State() == StateAllowed) {
		return
	}
	if s.since.IsZero() {
		s.since = o.Sent
	}
	s.newest = o.Sent
	s.probes++
}

// Refute takes in that a reply has come to a probe that was observed to be dropped: the pair was
// allowed meanwhile.
func (s *Steady) Refute(o Outcome) {
	if change, changed := s.detector.observe(o); changed {
		change.Bracket.Lower = time.Time{} // what failed was sent while it was allowed
		s.enter(change, o)
	}
}

// enter takes in a change of state, which an outcome has shown.
func (s *Steady) enter(change Change, o Outcome) {
	s.change, s.newest = change, o.Sent
	s.changes++
	s.since, s.probes = o.Sent, 1
	if change.To == StateBlocked {
		s.since, s.probes = s.detector.since, s.detector.run
	}
}

// restart begins to count anew for how long the state lasts.
func (s *Steady) restart() {
	s.since, s.newest, s.probes = time.Time{}, time.Time{}, 0
	if s.State() != StateBlocked {
		s.detector.run = 0 // failures so far apart are not in a row
	}
}

// State is the state that the pair is in.
func (s *Steady) State() State { return s.detector.state }

// Change is the change into that state. Its bracket has no lower end if the pair was in no other
// state before.
func (s *Steady) Change() Change { return s.change }

// Changes is how often the state has changed, the first time from the unknown one.
func (s *Steady) Changes() int { return s.changes }

// Since is the send of the first of the probes that have shown the state without a gap.
func (s *Steady) Since() time.Time { return s.since }

// Newest is the send of the newest one.
func (s *Steady) Newest() time.Time { return s.newest }

// Probes is how many there were.
func (s *Steady) Probes() int { return s.probes }

// Watched is for how long they have shown it: from the send of the first to that of the newest.
func (s *Steady) Watched() time.Duration { return s.newest.Sub(s.since) }

// Overdue is how long after its send a probe's reply is overdue, and whether that is known.
func (s *Steady) Overdue() (after time.Duration, known bool) { return s.detector.trips.Overdue() }

// SlowestTrip is the longest time that one of the newest replies took, zero without any.
func (s *Steady) SlowestTrip() time.Duration { return s.detector.trips.Slowest() }
