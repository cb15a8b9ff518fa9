// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"net/netip"
	"time"
)

// Object identifies one incarnation of an API object. A re-created object of the same name has
// another UID and is another Object.
type Object struct {
	Namespace string
	Name      string
	UID       string
}

// EventType says what happened to an object.
type EventType uint8

// The event types.
const (
	EventAdded EventType = iota + 1
	EventUpdated
	EventDeleted
)

// String is the type's name in messages.
func (t EventType) String() string {
	return [...]string{"unknown", "added", "updated", "deleted"}[min(int(t), 3)]
}

// Event is the appearance, the change or the end of an API object, as one process saw it.
type Event struct {
	Type   EventType
	Object Object
	// Arrived is when the watch, or a read, delivered the event to this process, whenever it was
	// handled.
	Arrived time.Time
	// Watched says that a watch delivered it, if no read was sooner.
	Watched bool
	// Absent is when the last read was sent that did not find the object, zero if none was.
	Absent time.Time
	// Created is the object's creationTimestamp: the API server's clock, whole seconds.
	Created time.Time
	// TriggeredAt is the object's annotation [TriggeredAtAnnotation], zero without one.
	TriggeredAt time.Time
	// Initial marks an object that already existed when the watch began.
	Initial bool
	// Addresses are a pod's addresses, none until they are assigned.
	Addresses []netip.Addr
	// Node is where a pod runs, empty until it is scheduled.
	Node string
	// Labels are a pod's labels, and Data what a config map holds: only where somebody watches for
	// them.
	Labels map[string]string
	Data   map[string]string
	// Ready says that a pod can answer, and that nothing has asked for its end.
	Ready bool
	// Finished marks a pod that has ended for good although its object still exists.
	Finished bool
}

// TriggeredAtAnnotation is where the writer of a triggering object may leave the instant of the
// write, as RFC 3339 with nanoseconds.
const TriggeredAtAnnotation = "netpol-latency/triggered-at"
