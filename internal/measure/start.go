// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// StartSource says which instant a latency counts from.
type StartSource string

// The start sources.
const (
	// StartAddress: our watch delivered the pod's address.
	StartAddress StartSource = "address-arrival"
	// StartProcess: the process that probes was started.
	StartProcess StartSource = "process-start"
	// StartWrite: we wrote the trigger ourselves, and stamped the write before and after.
	StartWrite StartSource = "own-write"
	// StartRead: whoever probes read the object that the trigger changes, again and again, until it
	// was changed.
	StartRead StartSource = "read"
	// StartWatchRead: it was watched as well, so that its notification need not wait for a read.
	StartWatchRead StartSource = "watch+read"
	// StartWatch: our watch delivered the trigger.
	StartWatch StartSource = "watch-arrival"
	// StartPoll: what earlier versions called the reads of a drop-in client.
	StartPoll StartSource = "poll"
	// StartAnnotation: the trigger's writer left the instant in [TriggeredAtAnnotation].
	StartAnnotation StartSource = "annotation"
	// StartCreation: the trigger's creationTimestamp, when nothing better is known. It is a whole
	// second of the API server's clock.
	StartCreation StartSource = "creation-timestamp"
)

// Accepted reports whether the source has found out when the API accepted the trigger, whoever
// wrote it: between a read that did not see it and its notification.
func (s StartSource) Accepted() bool {
	return s == StartRead || s == StartWatchRead || s == StartPoll
}

// Start is the instant that a latency counts from. The truth lies in [At, At+Uncertainty].
type Start struct {
	Source      StartSource
	At          time.Time
	Uncertainty time.Duration
}

// StartOfWrite is the start of a trigger that we wrote: the API accepted it between the two
// instants.
func StartOfWrite(before, after time.Time) Start {
	return Start{Source: StartWrite, At: before, Uncertainty: after.Sub(before)}
}

// StartOf is the best start that an event of a trigger written by another process offers: the
// writer's own stamp, else the time between the last read without the trigger and its arrival, else
// the arrival alone, else (the object existed before we looked) its creationTimestamp, which was
// cut to whole seconds. A stamp that the reads contradict is of a wrong clock, or of another
// instant than the write's.
func StartOf(event Event) Start {
	read := !event.Initial && !event.Absent.IsZero()
	contradicted := read && !(Bracket{event.Absent, event.Arrived}).Contains(event.TriggeredAt)

	switch {
	case !event.TriggeredAt.IsZero() && !contradicted:
		return Start{Source: StartAnnotation, At: event.TriggeredAt}
	case read:
		source := StartRead
		if event.Watched {
			source = StartWatchRead
		}
		return StartOfReads(source, event.Absent, event.Arrived)
	case !event.Initial:
		return Start{Source: StartWatch, At: event.Arrived}
	default:
		return Start{Source: StartCreation, At: event.Created, Uncertainty: time.Second}
	}
}

// StartOfReads is the start of a trigger that was found by reading its object, and maybe watching
// it: the API had not accepted it when the last read that did not see it was sent, and had when the
// first that did was answered, or the watch delivered it. Reads without a resourceVersion see
// everything that was accepted before they were sent
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list).
func StartOfReads(source StartSource, unseen, seen time.Time) Start {
	return Start{Source: source, At: unseen, Uncertainty: seen.Sub(unseen)}
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
// instant at which the API accepted it. That its notification arrived can be later than its effect.
func (s Start) causal() bool { return s.Source == StartWrite || s.Source.Accepted() }
