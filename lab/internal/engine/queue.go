// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// queue holds events until they are due. Events of one object keep their order, whatever their
// delays.
type queue struct {
	// wake gets a value when there is an event that is due earlier than all others.
	wake chan struct{}

	mu     sync.Mutex
	delay  time.Duration
	jitter time.Duration
	events eventHeap
	last   map[string]lastEvent
	count  uint64
}

// lastEvent is the latest of the events of one object that wait.
type lastEvent struct {
	due     time.Time
	waiting int
}

func newQueue(s Settings) *queue {
	q := &queue{wake: make(chan struct{}, 1), last: map[string]lastEvent{}}
	q.set(s)
	return q
}

// set changes the delays of the events that arrive from now on.
func (q *queue) set(s Settings) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.delay, q.jitter = s.Delay, s.Jitter
}

// push takes an event that has just arrived.
func (q *queue) push(e event) {
	q.mu.Lock()
	defer q.mu.Unlock()

	e.due = e.cause.Arrived.Add(q.delay)
	if q.jitter > 0 {
		e.due = e.due.Add(rand.N(q.jitter))
	}
	// Jitter and a delay that has become shorter must not change the order of an object's events.
	last := q.last[e.key()]
	if last.waiting > 0 && e.due.Before(last.due) {
		e.due = last.due
	}

	q.last[e.key()] = lastEvent{e.due, last.waiting + 1}
	q.count++
	e.order = q.count
	heap.Push(&q.events, e)
	if q.events[0].order == e.order {
		q.signal()
	}
}

// signal wakes who waits for events.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// due takes the events out that are due, in order. next is when the next will be, zero if none
// waits.
func (q *queue) due(now time.Time) (due []event, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.events) > 0 && !q.events[0].due.After(now) {
		due = append(due, q.pop())
	}
	if len(q.events) > 0 {
		next = q.events[0].due
	}
	return due, next
}

// all takes all events out.
func (q *queue) all() []event {
	q.mu.Lock()
	defer q.mu.Unlock()
	var all []event
	for len(q.events) > 0 {
		all = append(all, q.pop())
	}
	return all
}

func (q *queue) pop() event {
	e := heap.Pop(&q.events).(event)
	last := q.last[e.key()]
	if last.waiting == 1 {
		delete(q.last, e.key())
	} else {
		q.last[e.key()] = lastEvent{last.due, last.waiting - 1}
	}
	return e
}

// eventHeap implements heap.Interface.
type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].order < h[j].order
	}
	return h[i].due.Before(h[j].due)
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(e any)   { *h = append(*h, e.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return e
}
