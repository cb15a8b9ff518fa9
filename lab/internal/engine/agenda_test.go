// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"testing"
	"time"
)

func errandOf(name, about string, after time.Duration, ends bool) errand {
	return errand{event: eventOf("", 0, begin), about: about, after: after, ends: ends}.named(name)
}

func (e errand) named(name string) errand {
	e.cause.UID = name
	return e
}

func TestAgenda(t *testing.T) {
	var a agenda
	a.add(begin, []errand{errandOf("late", "", 2*time.Second, true),
		errandOf("early", "", time.Second, true)})
	if due, next := a.due(begin); len(due) != 0 || !next.Equal(begin.Add(time.Second)) {
		t.Errorf("%v are due too early, the next at %v", numbers(due), next)
	}
	due, next := a.due(begin.Add(time.Second))
	if !slices.Equal(numbers(due), []string{"early"}) || !next.Equal(begin.Add(2*time.Second)) {
		t.Errorf("%v are due, the next at %v", numbers(due), next)
	}
	if !due[0].cause.Arrived.Equal(begin.Add(time.Second)) {
		t.Errorf("the errand was due at %v, its cause says", due[0].cause.Arrived)
	}
	if due, next := a.due(begin.Add(time.Minute)); len(due) != 1 || !next.IsZero() {
		t.Errorf("%v are due, the next at %v", numbers(due), next)
	}
}

// A new event of an object makes the errands about it void, and those about nothing in particular
// stay.
func TestAgendaCancels(t *testing.T) {
	var a agenda
	a.add(begin, []errand{errandOf("1", "Pod x/a", 0, true), errandOf("2", "Pod x/b", 0, true),
		errandOf("3", "", 0, true)})
	a.cancel("Pod x/a")
	if due, _ := a.due(begin); !slices.Equal(numbers(due), []string{"2", "3"}) {
		t.Errorf("%v are left", numbers(due))
	}
}

// Whoever changes the faults must end what they began, but not begin what they would have.
func TestAgendaSettles(t *testing.T) {
	var a agenda
	a.add(begin, []errand{errandOf("begin", "", time.Second, false),
		errandOf("end", "", time.Minute, true)})
	if ends := a.settle(); !slices.Equal(numbers(ends), []string{"end"}) {
		t.Errorf("%v are left to be done", numbers(ends))
	}
	if due, _ := a.due(begin.Add(time.Hour)); len(due) != 0 {
		t.Errorf("%v are due after that", numbers(due))
	}
}
