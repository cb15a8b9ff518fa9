// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// timeout is how long every kind of probe waits for its answer here.
const timeout = 100 * time.Millisecond

// warm is how many probes go before those that are measured: what grows has grown.
const warm = 2000

// tally counts the outcomes of all pairs.
type tally struct {
	count   atomic.Int64
	warmed  chan struct{}
	enough  int64
	reached chan struct{}
}

// Ended implements [probe.Follower].
func (t *tally) Ended(measure.Outcome) bool {
	switch t.count.Add(1) {
	case warm:
		close(t.warmed)
	case t.enough:
		close(t.reached)
	}
	return false
}

// Stopped implements [probe.Follower].
func (t *tally) Stopped() {}

// engine sends that many probes by a mode, at that many a second.
func engine(mode probe.Mode, targets []netip.AddrPort, probes int, rate float64) (Work, error) {
	e, err := probe.New(probe.Config{Mode: mode, Timeout: timeout, Schedule: probe.Schedule{
		Beat: time.Second, Min: time.Millisecond, MaxRate: rate,
	}})
	if err != nil {
		return Work{}, err
	}
	t := &tally{warmed: make(chan struct{}), reached: make(chan struct{}), enough: int64(warm + probes)}
	for _, to := range targets {
		e.Add(to, t).Trigger(time.Now())
	}
	<-t.warmed
	m, err := newMeter()
	if err != nil {
		return Work{}, err
	}
	<-t.reached
	work, err := m.read(probes)
	if err != nil {
		return Work{}, err
	}
	return work, e.Close()
}
