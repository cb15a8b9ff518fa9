// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// StartRead: whoever probes read the object that the trigger changes, again and again, until it was
// changed.
const StartRead StartSource = "read"

// StartOfReads is the start of a trigger that was found by reading its object: the API had not
// accepted it when the last read that did not see it was sent, and had when the first that did was
// answered. Reads without a resourceVersion see everything that was accepted before they were sent
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list).
func StartOfReads(unseen, seen time.Time) Start {
	return Start{Source: StartRead, At: unseen, Uncertainty: seen.Sub(unseen)}
}

// Latest is the latest instant that the start may be.
func (s Start) Latest() time.Time { return s.At.Add(s.Uncertainty) }

// Narrow is what this start and another of the same trigger say together, under the source of this
// one. They contradict each other, and ok is false, if no instant is in both: then a clock is
// wrong.
func (s Start) Narrow(other Start) (narrow Start, ok bool) {
	at, latest := s.At, s.Latest()
	if other.At.After(at) {
		at = other.At
	}
	if other.Latest().Before(latest) {
		latest = other.Latest()
	}
	return Start{Source: s.Source, At: at, Uncertainty: latest.Sub(at)}, !latest.Before(at)
}

// causal reports whether nothing can have come of the trigger before this start: it contains the
// instant at which the API accepted it. That its news arrived can be later than its effect.
func (s Start) causal() bool {
	switch s.Source {
	case StartWrite, StartRead, StartPoll:
		return true
	}
	return false
}
