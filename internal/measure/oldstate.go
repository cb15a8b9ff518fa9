// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

// OldState is the proof that a pair was in its old state, the one that its trigger ends. It is
// judged by the pair's [Transition].
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
	// Announced says that Close is called before the trigger can have been written.
	Announced bool

	closed bool // nothing is proved or refuted any more
	proved bool
}

// Observe takes in what the transition has learned from its newest outcome, and reports whether the
// pair has become proved, or is proved no more. It resets a transition whose change came too early.
func (s *OldState) Observe(t *Transition) (news bool) {
	if s.closed {
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

// Close ends the proof: what the pair does from now on may be the effect of its trigger.
func (s *OldState) Close() { s.closed = true }

// Proved reports whether the old state was seen, and nothing else since.
func (s *OldState) Proved() bool { return s.proved }
