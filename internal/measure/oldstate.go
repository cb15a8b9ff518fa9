// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// OldState is the proof that a pair was in its old state, the one that its trigger ends. What shows
// it is the pair's [Transition].
//
// Before an announced trigger no change of state can be its effect, so what the network did until
// the old state was seen is no part of the result: it may still be on its way there. It may also
// seem to be there too early, like a new pod that nobody reaches until policy first lets everybody
// in and then shuts most out again. So each appearance of the new state refutes the proof, and lets
// the transition begin anew.
//
// An unannounced trigger may be anywhere between two probes, so that every change may be its
// effect, unless it is taken back before the trigger is known: the transition begins anew then.
type OldState struct {
	// Announced says that Observe knows of the trigger before it can have been written.
	Announced bool

	closed bool // nothing is proved or refuted any more
	proved bool
}

// Observe takes in what the transition has learned from its newest outcome, and reports whether the
// pair has become proved, or is proved no more. It resets a transition whose change came too early.
// Trigger is when the trigger may have been written, zero as long as nobody knows of it.
func (s *OldState) Observe(t *Transition, trigger time.Time) (changed bool) {
	if s.closed || s.mayBeEffect(t, trigger) {
		return false
	}

	before := s.proved
	switch {
	case s.Announced && t.Changed():
		t.Reset()
		s.proved = false
	case t.State() == t.Want().Opposite():
		t.takeBack()
		s.proved = true
	case t.Changed():
		s.proved = false
	}

	return s.proved != before
}

// mayBeEffect reports whether what the newest outcome shows can come of the trigger: its probe was
// sent since then, or the change that it belongs to may have come since then. Where packets wait to
// be filtered, one that was sent before the trigger is filtered after it.
func (s *OldState) mayBeEffect(t *Transition, trigger time.Time) bool {
	switch {
	case trigger.IsZero():
		return false
	case !t.newest.Before(trigger):
		return true
	}
	return s.Announced && t.Changed() && t.Change().Bracket.Upper.After(trigger)
}

// Close ends the proof of a pair that came too late for one, or needs none.
func (s *OldState) Close() { s.closed = true }

// Proved reports whether the old state was seen, and nothing else since.
func (s *OldState) Proved() bool { return s.proved }
