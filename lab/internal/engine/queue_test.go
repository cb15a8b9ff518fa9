// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func eventOf(name string, number int, arrived time.Time) event {
	return event{cause: truth.Cause{Kind: "Pod", Name: name, UID: fmt.Sprint(number),
		Arrived: arrived}}
}

func numbers(events []event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.cause.UID)
	}
	return all
}

func TestQueueDelay(t *testing.T) {
	q := newQueue(Settings{Delay: time.Second})
	q.push(eventOf("a", 1, begin))
	q.push(eventOf("b", 2, begin.Add(time.Millisecond)))
	if due, next := q.due(begin.Add(time.Second - 1)); len(due) != 0 ||
		!next.Equal(begin.Add(time.Second)) {
		t.Errorf("%d events are due too early, the next at %v", len(due), next)
	}
	if due, next := q.due(begin.Add(time.Second)); len(due) != 1 ||
		!next.Equal(begin.Add(time.Second+time.Millisecond)) {
		t.Errorf("%d events are due, the next at %v", len(due), next)
	}
	if due, next := q.due(begin.Add(time.Minute)); len(due) != 1 || !next.IsZero() {
		t.Errorf("%d events are due, the next at %v", len(due), next)
	}
}

// A new delay counts for later events; one that is shorter does not let an object's events overtake
// each other.
func TestQueueOrderOfOneObject(t *testing.T) {
	q := newQueue(Settings{Delay: time.Second})
	q.push(eventOf("a", 1, begin))
	q.set(Settings{})
	q.push(eventOf("a", 2, begin))
	q.push(eventOf("b", 3, begin))
	if due, _ := q.due(begin); !slices.Equal(numbers(due), []string{"3"}) {
		t.Errorf("events %v are due", numbers(due))
	}
	if due, _ := q.due(begin.Add(time.Second)); !slices.Equal(numbers(due), []string{"1", "2"}) {
		t.Errorf("events %v are due", numbers(due))
	}
	q.push(eventOf("a", 4, begin))
	if due, _ := q.due(begin); len(due) != 1 {
		t.Error("an event waits for one of its object that is gone")
	}
}

// Whatever the jitter, each event is late by less than it, and those of one object keep their
// order.
func TestQueueJitter(t *testing.T) {
	settings := Settings{Delay: time.Second, Jitter: time.Second}
	for _, objects := range []int{10, 1000} {
		q := newQueue(settings)
		for i := range 1000 {
			q.push(eventOf(fmt.Sprint(i%objects), i, begin.Add(time.Duration(i)*time.Millisecond)))
		}
		last := map[string]uint64{}
		tenths := map[time.Duration]bool{}
		for _, e := range q.all() {
			jitter := e.due.Sub(e.cause.Arrived) - settings.Delay
			if jitter < 0 || jitter >= settings.Jitter {
				t.Errorf("event %d has a jitter of %v", e.order, jitter)
			}
			tenths[jitter/(settings.Jitter/10)] = true
			if e.order < last[e.key()] {
				t.Errorf("event %d overtook event %d of the same object", e.order, last[e.key()])
			}
			last[e.key()] = e.order
		}
		// Events of one object push each other to the end of the range; those of many fill it.
		if objects == 1000 && len(tenths) != 10 {
			t.Errorf("the jitter reaches only %d tenths of its range", len(tenths))
		}
	}
}

func TestQueueWakes(t *testing.T) {
	q := newQueue(Settings{})
	woken := func() bool {
		select {
		case <-q.wake:
			return true
		default:
			return false
		}
	}
	q.push(eventOf("a", 1, begin.Add(time.Second)))
	if !woken() {
		t.Error("the first event does not wake")
	}
	q.push(eventOf("b", 2, begin.Add(2*time.Second)))
	if woken() {
		t.Error("an event that has time wakes")
	}
	q.push(eventOf("c", 3, begin))
	if !woken() {
		t.Error("an event that comes first does not wake")
	}
}
