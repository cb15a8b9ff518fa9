// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Engine probes pairs until it is closed. Its methods may be called from any goroutine.
type Engine struct {
	// Mode is what the engine uses; with Auto asked for, what it chose, and Reason says why.
	Mode     Mode
	Reason   string
	Warnings []string

	schedule Schedule
	worker   *worker
	number   atomic.Int64
}

// New starts an engine. The schedule is fitted to the descriptors that the process may open, with a
// warning if that slows it down.
func New(config Config) (*Engine, error) {
	if config.Timeout <= 0 || config.Timeout >= MaxTimeout {
		return nil, fmt.Errorf("use probe time-out %s: expected more than 0 and less than %s, "+
			"after which the kernel sends a lost SYN again", config.Timeout, MaxTimeout)
	}
	mode, reason, err := choose(config.Mode)
	if err != nil {
		return nil, err
	}
	if config.Schedule.MaxRate == 0 {
		config.Schedule.MaxRate = defaultMaxRate(mode)
	}
	if err := config.Schedule.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{Mode: mode, Reason: reason, schedule: config.Schedule}
	if mode != SYN {
		if err := e.fit(config.Timeout); err != nil {
			return nil, err
		}
	}
	prober, err := newProber(mode, inFlight(e.schedule, config.Timeout))
	if err != nil {
		return nil, err
	}
	e.worker, err = newWorker(mode, prober, e.schedule, config.Timeout, cmp.Or(config.ResponseTimeout, DefaultResponseTimeout))
	if err != nil {
		return nil, errors.Join(err, prober.close())
	}
	go e.worker.run()
	return e, nil
}

// fit slows the schedule down to what the limit of open descriptors permits, which it raises first.
func (e *Engine) fit(timeout time.Duration) error {
	limit, err := raiseDescriptorLimit()
	if err != nil {
		return err
	}
	most := float64(limit-reservedDescriptors) / (timeout + slack).Seconds()
	if most <= 0 {
		return fmt.Errorf("open sockets for probes: only %d descriptors are allowed (ulimit -n): "+
			"expected more than %d", limit, reservedDescriptors)
	}
	if most < e.schedule.MaxRate {
		e.Warnings = append(e.Warnings, fmt.Sprintf("at most %.0f probes a second instead of %.0f: the process "+
			"may open only %d descriptors (ulimit -n)", most, e.schedule.MaxRate, limit))
		e.schedule.MaxRate = most
	}
	return nil
}

// reservedDescriptors are left to the rest of the process, and slack to probes that end late.
const (
	reservedDescriptors = 128
	slack               = 50 * time.Millisecond
)

// raiseDescriptorLimit raises the soft limit of open descriptors to the hard one and returns it.
func raiseDescriptorLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of open descriptors: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return 0, fmt.Errorf("raise the limit of open descriptors: %w", err)
		}
	}
	return limit.Cur, nil
}

// Schedule is the schedule that the engine keeps.
func (e *Engine) Schedule() Schedule { return e.schedule }

// Stats are the counters so far.
func (e *Engine) Stats() Stats { return e.worker.stats.load() }

// Add begins to probe an address for the follower, at the beat of the time before a trigger.
func (e *Engine) Add(to netip.AddrPort, follower Follower) *Pair {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	p := newPair(to, follower, e.worker, int(e.number.Add(1)))
	e.worker.command(order{pair: p, do: add})
	return p
}

// Close stops probing all pairs, tells their followers and waits for that.
func (e *Engine) Close() error {
	e.worker.command(order{do: quit})
	<-e.worker.gone
	return e.worker.closed
}

// Pair is one address that an engine probes.
type Pair struct {
	to       netip.AddrPort
	worker   *worker
	number   int
	follower Follower

	// What follows belongs to the worker. What every probe needs is side by side: there are more pairs than a processor's
	// cache holds.
	due         instant
	place       int           // in the agenda
	interval    time.Duration // to the newest probe from the one before
	trigger     instant
	first, last int32 // the pair's probes in flight, oldest and newest
	triggered   bool
	done        bool // the follower needs no more probes
	stopped     bool // and has been told that there will be none
	overdue     overdue
	// Of the mode syn: the number of its probes, the tables that say where they leave to, by which socket (none if that is
	// not known), what their frames have in common, and what they are sent from.
	probes, ports uint16
	hops          *nexthops
	wire          int
	frame         frame
	source        netip.Addr
	raw           rawAddress
	request       []byte      // what the mode http sends
	connection    *connection // of the mode established
}

func newPair(to netip.AddrPort, follower Follower, w *worker, number int) *Pair {
	return &Pair{
		to: to, follower: follower, worker: w, number: number,
		first: none, last: none, place: none, wire: none, overdue: overdue{next: none},
	}
}

// Trigger says that the change whose effect is awaited was made at the instant: from now on the pair is
// probed as the schedule says for the time after a trigger.
func (p *Pair) Trigger(at time.Time) {
	p.worker.command(order{pair: p, do: trigger, at: p.worker.clock.instantOf(at)})
}

// Stop ends the pair's probing. Its follower is told when that is done.
func (p *Pair) Stop() { p.worker.command(order{pair: p, do: stop}) }
