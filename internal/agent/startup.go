// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// StartupConfig says what a pod that has just started probes from inside.
type StartupConfig struct {
	// Config says how to probe.
	Config
	// Index is the pod's number, and Scenario the name in its samples.
	Index    int
	Scenario string
	// Allowed are addresses that the policies in force allow, Forbidden those that they forbid.
	Allowed, Forbidden []netip.AddrPort
	// Watch is how long it probes at least, and Timeout how long at most.
	Watch, Timeout time.Duration
}

// Validate reports every mistake in what is not about how to probe.
func (c StartupConfig) Validate() error {
	return inRange("watch", c.Watch < c.Timeout, c.Watch,
		fmt.Sprintf("less than --timeout %s, when everything ends", c.Timeout))
}

// RunStartup probes from the first instant of its process until every allowed address was reached
// and the time to watch is over, and writes numbered lines. It asks nobody for anything: the API
// server may not be reachable yet.
func RunStartup(
	ctx context.Context, config StartupConfig, began time.Time, out io.Writer,
) (err error) {
	engine, err := startEngine(config.Config, probe.Control{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	return newStartup(config, engineOf{engine}, began, out).run(ctx)
}

// startup is what a starting pod has to find out.
type startup struct {
	config  StartupConfig
	began   time.Time
	scale   *timescale
	tracker *tracker
	awaited int // allowed pairs without a result
	lines   *protocol.Lines
}

func newStartup(config StartupConfig, prober prober, began time.Time, out io.Writer) *startup {
	s := &startup{
		config:  config,
		began:   began,
		awaited: len(config.Allowed),
		lines:   protocol.NewLines(out),
		scale:   newTimescale(prober.Epoch(), Skew{}),
	}
	s.tracker = newTracker(s, prober)
	return s
}

// run probes until it is known what was to be found out, or the time for it is over.
func (s *startup) run(ctx context.Context) error {
	hello := protocol.Hello{Agent: s.config.Index, Mode: string(s.config.Probe)}
	if err := s.lines.Write(protocol.Line{Hello: &hello}); err != nil {
		return err
	}
	s.start(s.config.Allowed, protocol.Expect{})
	s.start(s.config.Forbidden, protocol.Expect{Forbidden: true, Part: "forbidden"})

	watched, late := time.After(s.config.Watch), time.After(s.config.Timeout)
	for watched != nil || s.awaited > 0 {
		select {
		case <-ctx.Done():
			return s.end(errRunEnded)
		case <-late:
			return s.end(errDeadline)
		case <-watched:
			watched = nil
		case <-s.tracker.notices.ready:
			if err := s.tracker.handle(); err != nil {
				return err
			}
		}
	}
	return s.end(errRunEnded)
}

// start begins to probe addresses, of which the same is expected.
func (s *startup) start(addresses []netip.AddrPort, expect protocol.Expect) {
	for _, to := range addresses {
		p := &pair{
			address: to.Addr(), port: int(to.Port()), assigned: s.began,
			expect: expect, scenario: expect.Name(s.config.Scenario),
		}
		p.observed.transition = measure.NewTransition(measure.StateAllowed, s.config.rules())
		s.tracker.add(p)
		s.tracker.start(p)
		p.trigger(s.began)
	}
}

// targets implements program: no pods are watched.
func (s *startup) targets(measure.Event) []*pair { return nil }

// address implements program.
func (s *startup) address(measure.Event) (netip.Addr, bool) { return netip.Addr{}, false }

// finish implements program: it writes the pair's sample.
func (s *startup) finish(p *pair) error {
	if !p.expect.Forbidden {
		s.awaited--
	}
	sample := p.sample()
	sample.Agent, sample.Want = s.config.Index, p.observed.transition.Want()
	sample = sample.WithStart(measure.Start{Source: measure.StartProcess, At: s.began}, 0)
	return writeSample(s.lines, s.scale.sample(sample, p.steps))
}

// end ends all pairs and says how many samples there were.
func (s *startup) end(cause error) error {
	for p := range s.tracker.open {
		if p.expect.Forbidden {
			p.end(errRunEnded) // it was watched for as long as it was to be
		}
	}
	if err := s.tracker.drain(cause); err != nil {
		return err
	}
	samples := len(s.config.Allowed) + len(s.config.Forbidden) // each pair has exactly one
	return s.lines.Write(protocol.Line{Finished: &protocol.Finished{Samples: samples}})
}
