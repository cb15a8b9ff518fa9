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

	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
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

// start starts an engine of a mode that is not Auto.
func start(mode Mode, config Config) (*Engine, error) {
	e := &Engine{Mode: mode, schedule: config.Schedule}
	if mode != SYN {
		if err := e.fit(config.Timeout); err != nil {
			return nil, err
		}
	}

	most := inFlight(e.schedule, config.Timeout)
	space, err := newWorkspace(most)
	if err != nil {
		return nil, err
	}

	prober, err := newProber(mode, space, most)
	if err != nil {
		return nil, errors.Join(err, space.poller.close())
	}

	e.worker = newWorker(mode, prober, space, e.schedule, timeouts{
		opening: config.Timeout, response: cmp.Or(config.ResponseTimeout, DefaultResponseTimeout),
	})

	e.LimitConntrack(config.ConntrackEntries)
	if config.Paced {
		e.worker.pace = pace.New(e.schedule.MaxRate, config.Timeout)
		e.addControl(mode, config.Control)
	}

	go e.worker.run()
	return e, nil
}

// addControl adds the control pair, if there is to be one. Established connections have none: they
// are there while the old state is, and answer.
func (e *Engine) addControl(mode Mode, c Control) {
	if !c.Address.IsValid() || c.Interval == 0 || mode == Established {
		return
	}

	w := e.worker
	control := newPair(c.Address, nobody{}, int(e.number.Add(1)))
	w.control, w.controlInterval = &control, max(c.Interval, ControlInterval)
	if mode != SYN && mode != Connect {
		w.prober = newControlled(w.prober, w.workspace, w.control)
	}
	w.commands.put(command{pair: w.control, do: add})
}

// newProber opens what a mode needs for so many probes in flight.
func newProber(mode Mode, space *workspace, most int) (prober, error) {
	switch mode {
	case Connect:
		return newSockets(space, connect{}, most), nil
	case HTTP:
		return newSockets(space, httpGet{}, most), nil
	case UDP:
		return newSockets(space, udpEcho{space.clock}, most), nil
	case SCTP:
		return newSCTP(space, most)
	case SYN:
		return newSYN(space)
	case Established:
		return newEstablished(space), nil
	default:
		_, err := ParseMode(string(mode))
		return nil, err
	}
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
		e.Warnings = append(e.Warnings,
			fmt.Sprintf("at most %.0f probes a second instead of %.0f: "+
				"the process may open only %d descriptors (ulimit -n)", most, e.schedule.MaxRate,
				limit))
		e.schedule.MaxRate = most
	}

	return nil
}

// reservedDescriptors are left to the rest of the process.
const reservedDescriptors = 128

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

// Epoch is what the instants of outcomes count from, by the monotonic clock: whatever happens to
// the wall clock, they are what it showed then and the time since.
func (e *Engine) Epoch() time.Time { return e.worker.clock.epoch }

// Stats are the counters so far.
func (e *Engine) Stats() Stats { return e.worker.stats.load() }

// Pace is what is known of the path. Without [Config.Paced] nothing is.
func (e *Engine) Pace() pace.State {
	if e.worker.pace == nil {
		return pace.State{Found: true}
	}
	return e.worker.published.load()
}

// LimitConntrack says how many entries the probes may hold from now on in the connection tracking
// table of a node; 0 is any number.
func (e *Engine) LimitConntrack(entries int) { e.worker.conntrack.most.Store(int64(entries)) }

// ConntrackEntries is how many entries the probes may have had there when one came or went last.
func (e *Engine) ConntrackEntries() int { return int(e.worker.conntrack.told.Load()) }

// DropsAreHere says whether what is dropped is dropped on this node, by policies of its own pods'
// egress: connection tracking keeps no entry of that.
func (e *Engine) DropsAreHere(are bool) { e.worker.conntrack.dropsHere.Store(are) }

// Add begins to probe an address for the observer, at the base interval of the time before a
// trigger.
func (e *Engine) Add(to netip.AddrPort, observer Observer) *Pair {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	p := &Pair{pair: newPair(to, observer, int(e.number.Add(1))), worker: e.worker}
	e.worker.commands.put(command{pair: &p.pair, do: add})
	return p
}

// Close stops probing all pairs, tells their observers and waits for that.
func (e *Engine) Close() error {
	e.worker.commands.put(command{do: quit})
	<-e.worker.gone
	return e.worker.closed
}

// Pair is one address that an engine probes.
type Pair struct {
	pair
	worker *worker
}

// Trigger says that the change whose effect is awaited was made at the instant: from now on the
// pair is probed as the schedule says for the time after a trigger.
func (p *Pair) Trigger(at time.Time) {
	p.worker.commands.put(command{pair: &p.pair, do: trigger, at: p.worker.clock.instantOf(at)})
}

// Stop ends the pair's probing. Its observer is told when that is done.
func (p *Pair) Stop() { p.worker.commands.put(command{pair: &p.pair, do: stop}) }
