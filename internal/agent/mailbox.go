// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import "sync"

// mailbox passes things on to one goroutine without ever making the sender wait.
type mailbox[T any] struct {
	mu    sync.Mutex
	items []T
	// full has an element when there may be something to take.
	full chan struct{}
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{full: make(chan struct{}, 1)} }

// put leaves one.
func (m *mailbox[T]) put(one T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items = append(m.items, one)
	select {
	case m.full <- struct{}{}:
	default:
	}
}

// take empties the mailbox.
func (m *mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	items := m.items
	m.items = nil
	return items
}
