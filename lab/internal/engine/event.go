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
	then  []errand // follow once the event is enforced
	due   time.Time
	order uint64 // in which events came
}

// key names the object that the event is about.
func (e event) key() string { return e.cause.Kind + " " + e.cause.Namespace + "/" + e.cause.Name }

// errand is something that a fault does some time after the event that it belongs to: an event that
// no watch delivered.
type errand struct {
	event
	after time.Duration // from the moment when what comes before it is enforced
	// about is the key of the object whose next event makes the errand void; empty if none does.
	about string
	// ends says that the errand ends what a fault began, so that it must not be forgotten.
	ends bool
}

// errandCause is a cause of the truth log: something that a fault does about an object.
func errandCause(of truth.Cause, what string) truth.Cause {
	of.Kind, of.Event = "Fault", what
	return of
}

func without(errands []errand, about string) []errand {
	return slices.DeleteFunc(errands, func(e errand) bool { return e.about == about })
}
