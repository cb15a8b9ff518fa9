// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import "sync"

// action is what a command asks a worker to do.
type action uint8

const (
	add action = iota
	trigger
	stop
	quit
)

// command is a request of another goroutine.
type command struct {
	pair *pair
	do   action
	at   instant
}

// commandQueue hands commands to a worker.
type commandQueue struct {
	poller *poller

	mu      sync.Mutex
	waiting []command
	taken   []command // the worker's
}

// put adds a command.
func (q *commandQueue) put(c command) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, c)
	if len(q.waiting) == 1 {
		q.poller.wake()
	}
}

// take returns the commands that have come, until the next call.
func (q *commandQueue) take() []command {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.taken)
	q.taken, q.waiting = q.waiting, q.taken[:0] // what was carried out makes room for what comes
	return q.taken
}
