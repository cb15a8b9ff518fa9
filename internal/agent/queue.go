// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import "sync"

// queue passes things on to one goroutine without ever making the sender wait.
type queue[T any] struct {
	// ready has an element when there may be something to take.
	ready chan struct{}

	mu    sync.Mutex
	items []T
}

func newQueue[T any]() *queue[T] { return &queue[T]{ready: make(chan struct{}, 1)} }

// put appends an item.
func (q *queue[T]) put(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.items = append(q.items, item)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()

	items := q.items
	q.items = nil
	return items
}
