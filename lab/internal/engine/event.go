// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// event is a change of an object, on its way from the watch to its enforcement.
type event struct {
	cause truth.Cause
	apply func(*cluster)
	// takes the event back; nil for one that is no change of a policy or of labels
	undo  func(*cluster)
	then  []deferredEvent // follow once the event is enforced
	due   time.Time
	order uint64 // in which events came
}

// key names the object that the event is about.
func (e event) key() string { return e.cause.Kind + " " + e.cause.Namespace + "/" + e.cause.Name }

// deferredEvent is what a fault does some time after the event that it belongs to: an event that no
// watch delivered.
type deferredEvent struct {
	event
	after time.Duration // from the moment when what comes before it is enforced
	// about is the key of the object whose next event makes this one void; empty if none does.
	about string
	// ends says that it ends what a fault began, so that it must be carried out.
	ends bool
}

// faultCause is a cause of the truth log: something that a fault does about an object.
func faultCause(of truth.Cause, what string) truth.Cause {
	of.Kind, of.Event = "Fault", what
	return of
}

func without(events []deferredEvent, about string) []deferredEvent {
	return slices.DeleteFunc(events, func(e deferredEvent) bool { return e.about == about })
}
