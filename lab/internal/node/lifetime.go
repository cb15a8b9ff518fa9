// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"sync"
	"time"
)

// lifetime is how long something may run: when soft ends it is asked to stop, when hard ends it is
// killed.
type lifetime struct {
	soft, hard context.Context
}

// stopping reports whether the end has begun.
func (l lifetime) stopping() bool { return l.soft.Err() != nil }

// sleep pauses and reports whether the lifetime goes on.
func (l lifetime) sleep(d time.Duration) bool {
	if d <= 0 {
		return !l.stopping()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !l.stopping()
	case <-l.soft.Done():
		return false
	}
}

// stopper ends a lifetime.
type stopper struct {
	lifetime
	softly, hardly context.CancelFunc

	mu       sync.Mutex
	timer    *time.Timer
	deadline time.Time
}

// newStopper starts a lifetime within ctx, whose end is immediate.
func newStopper(ctx context.Context) *stopper {
	s := &stopper{}
	s.hard, s.hardly = context.WithCancel(ctx)
	s.soft, s.softly = context.WithCancel(s.hard)
	return s
}

// stop begins the end, and completes it after grace. A later call can only make it sooner.
func (s *stopper) stop(grace time.Duration) {
	s.softly()
	if grace <= 0 {
		s.hardly()
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	deadline := time.Now().Add(grace)
	if s.timer != nil && s.deadline.Before(deadline) {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}

	s.deadline = deadline
	s.timer = time.AfterFunc(grace, s.hardly)
}

// release frees the timer once nothing is left to end.
func (s *stopper) release() {
	s.hardly()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}
