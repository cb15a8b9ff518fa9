// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"testing"
	"time"
)

func deferredOf(name, about string, after time.Duration, ends bool) deferredEvent {
	return deferredEvent{event: eventOf("", 0, begin), about: about, after: after,
		ends: ends}.named(name)
}

func (e deferredEvent) named(name string) deferredEvent {
	e.cause.UID = name
	return e
}

func TestAgenda(t *testing.T) {
	var d deferredQueue
	d.add(begin, []deferredEvent{deferredOf("late", "", 2*time.Second, true),
		deferredOf("early", "", time.Second, true)})
	if due, next := d.due(begin); len(due) != 0 || !next.Equal(begin.Add(time.Second)) {
		t.Errorf("%v are due too early, the next at %v", numbers(due), next)
	}
	due, next := d.due(begin.Add(time.Second))
	if !slices.Equal(numbers(due), []string{"early"}) || !next.Equal(begin.Add(2*time.Second)) {
		t.Errorf("%v are due, the next at %v", numbers(due), next)
	}
	if !due[0].cause.Arrived.Equal(begin.Add(time.Second)) {
		t.Errorf("the deferred event was due at %v, its cause says", due[0].cause.Arrived)
	}
	if due, next := d.due(begin.Add(time.Minute)); len(due) != 1 || !next.IsZero() {
		t.Errorf("%v are due, the next at %v", numbers(due), next)
	}
}

// A new event of an object makes the deferred events about it void, and those about nothing in
// particular stay.
func TestAgendaCancels(t *testing.T) {
	var d deferredQueue
	d.add(begin, []deferredEvent{deferredOf("1", "Pod x/a", 0, true),
		deferredOf("2", "Pod x/b", 0, true),
		deferredOf("3", "", 0, true)})
	d.cancel("Pod x/a")
	if due, _ := d.due(begin); !slices.Equal(numbers(due), []string{"2", "3"}) {
		t.Errorf("%v are left", numbers(due))
	}
}

// Whoever changes the faults must end what they began, but not begin what they would have.
func TestAgendaSettles(t *testing.T) {
	var d deferredQueue
	d.add(begin, []deferredEvent{deferredOf("begin", "", time.Second, false),
		deferredOf("end", "", time.Minute, true)})
	if ends := d.drain(); !slices.Equal(numbers(ends), []string{"end"}) {
		t.Errorf("%v are left to be done", numbers(ends))
	}
	if due, _ := d.due(begin.Add(time.Hour)); len(due) != 0 {
		t.Errorf("%v are due after that", numbers(due))
	}
}
