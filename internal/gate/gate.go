// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// gate is an open or closed gate. Its fields are for who holds the lock.
type gate struct {
	config  Config
	began   time.Time
	engines map[probe.Mode]*probe.Engine

	mu           sync.Mutex
	expectations []*expectation
	// open is closed when everything is proved; proof is the certificate of that instant.
	open  chan struct{}
	proof Certificate
	over  bool
}

// watchEvery is how often whoever watches is told what has been seen.
const watchEvery = 100 * time.Millisecond

// Run probes until everything is as expected, the time is over or the context ends, and says what
// was seen: the result says which. Meanwhile watch is told what is known so far.
func Run(
	ctx context.Context, config Config, watch func(Certificate),
) (proof Certificate, err error) {
	if err := config.Validate(); err != nil {
		return Certificate{}, err
	}
	g := newGate(config)
	if err := g.start(); err != nil {
		return Certificate{}, errors.Join(err, g.close())
	}
	defer func() { err = errors.Join(err, g.close()) }()

	ctx, cancel := context.WithCancel(ctx)
	var resolving sync.WaitGroup
	for _, one := range g.expectations {
		resolving.Go(func() { one.follow(ctx) })
	}
	defer resolving.Wait()
	defer cancel()

	late := time.NewTimer(config.Timeout)
	defer late.Stop()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-g.open:
			return g.proof, nil
		case <-late.C:
			return g.end(false), nil
		case <-ctx.Done():
			return g.end(true), nil
		case <-tick.C:
			watch(g.soFar())
		}
	}
}

func newGate(config Config) *gate {
	g := &gate{config: config, began: time.Now(), engines: make(map[probe.Mode]*probe.Engine),
		open: make(chan struct{})}
	known := make(map[Expect]bool)
	for _, expect := range config.Expect {
		if !known[expect] {
			g.expectations = append(g.expectations, newExpectation(g, expect))
		}
		known[expect] = true
	}
	return g
}

// start starts an engine for each mode that is needed.
func (g *gate) start() error {
	for _, one := range g.expectations {
		mode := one.Endpoint.mode()
		if g.engines[mode] != nil {
			continue
		}
		engine, err := probe.New(g.config.engine(mode))
		if err != nil {
			return fmt.Errorf("probe %s: %w", one.Endpoint, err)
		}
		g.engines[mode] = engine
	}
	return nil
}

// close ends all probes.
func (g *gate) close() error {
	var failed []error
	for _, engine := range g.engines {
		failed = append(failed, engine.Close())
	}
	return errors.Join(failed...)
}

// check opens the gate if everything is as expected. The caller holds the lock.
func (g *gate) check() {
	if g.over {
		return
	}
	for _, one := range g.expectations {
		if !one.holds() {
			return
		}
	}
	g.over = true
	g.proof = g.certify(Open)
	close(g.open)
}

// end gives up, unless the gate has opened at the last moment.
func (g *gate) end(interrupted bool) Certificate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return g.proof
	}
	g.over = true
	switch {
	case interrupted:
		return g.certify(Interrupted)
	case g.opposite():
		return g.certify(Opposite)
	default:
		return g.certify(TimedOut)
	}
}

// soFar is what has been seen by now.
func (g *gate) soFar() Certificate {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.certify(Waiting)
}

// opposite reports whether the contrary of an expectation is proved, while the controls answer.
func (g *gate) opposite() bool {
	contrary := false
	for _, one := range g.expectations {
		if one.Kind == Control && !one.holds() {
			return false
		}
		contrary = contrary || one.opposite()
	}
	return contrary
}

// controlled reports whether there is a control: silence is presumed then as soon as a reply is
// overdue, and else believed when no reply can come any more.
func (g *gate) controlled() bool {
	for _, one := range g.expectations {
		if one.Kind == Control {
			return true
		}
	}
	return false
}

// vouched reports whether what was silent since an instant was silent while the controls answered:
// to probes that were sent since then, and in a fraction of that time.
func (g *gate) vouched(since time.Time, silent time.Duration) bool {
	for _, one := range g.expectations {
		if one.Kind == Control && !one.answers(since, silent/controlTrips) {
			return false
		}
	}
	return true
}

// controlTrips is how many round trips of a control something must have been silent for.
const controlTrips = 4
