// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
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

// RunStartup probes from the first instant of its process until every allowed address was reached and
// the time to watch is over, and writes numbered lines. It asks nobody for anything: the API server may
// not be reachable yet.
func RunStartup(ctx context.Context, config StartupConfig, began time.Time, out io.Writer) (err error) {
	engine, err := startEngine(config.Config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	s := &startup{config: config, began: began, finished: newMailbox[*pair](), lines: result.NewLines(out)}
	s.follow(engineOf{engine}, config.Allowed, false)
	s.follow(engineOf{engine}, config.Forbidden, true)
	return s.run(ctx)
}

// startup is what a starting pod has to find out.
type startup struct {
	config   StartupConfig
	began    time.Time
	open     []*pair
	awaited  int // allowed pairs without a result
	finished *mailbox[*pair]
	lines    *result.Lines
}

func (s *startup) follow(prober prober, all []netip.AddrPort, forbidden bool) {
	for _, to := range all {
		expect := result.Expect{Port: int(to.Port()), Forbidden: forbidden}
		if forbidden {
			expect.Part = "forbidden"
		} else {
			s.awaited++
		}
		p := &pair{address: to.Addr(), assigned: s.began, expect: expect, scenario: expect.Name(s.config.Scenario)}
		p.follow.transition = measure.NewTransition(measure.StateAllowed, s.config.rules())
		p.follow.finished = s.finished
		p.probing = prober.follow(to, p)
		p.probing.Trigger(s.began)
		s.open = append(s.open, p)
	}
}

func (s *startup) run(ctx context.Context) error {
	watched, late := time.After(s.config.Watch), time.After(s.config.Timeout)
	for watched != nil || s.awaited > 0 {
		select {
		case <-ctx.Done():
			return s.end(errRunEnded)
		case <-late:
			return s.end(errDeadline)
		case <-watched:
			watched = nil
		case <-s.finished.full:
			if err := s.returned(); err != nil {
				return err
			}
		}
	}
	return s.end(errRunEnded)
}

// returned writes the samples of the pairs whose probing has ended.
func (s *startup) returned() error {
	for _, p := range s.finished.take() {
		if !p.expect.Forbidden {
			s.awaited--
		}
		sample := p.sample(p.expect.Port)
		sample.Agent, sample.Want = s.config.Index, p.follow.transition.Want()
		sample = sample.WithStart(measure.Start{Source: measure.StartProcess, At: s.began}, 0)
		if err := s.lines.WriteSample(sample); err != nil {
			return err
		}
		for i, one := range s.open {
			if one == p {
				s.open = append(s.open[:i], s.open[i+1:]...)
				break
			}
		}
	}
	return nil
}

// end ends all pairs and says how many samples there were.
func (s *startup) end(cause error) error {
	samples := len(s.config.Allowed) + len(s.config.Forbidden) // each pair has exactly one
	for _, p := range s.open {
		if p.expect.Forbidden {
			p.end(errRunEnded) // it was watched for as long as it was to be
		} else {
			p.end(cause)
		}
	}
	for len(s.open) > 0 {
		<-s.finished.full
		if err := s.returned(); err != nil {
			return err
		}
	}
	return s.lines.Write(result.Line{Round: &result.Round{Samples: samples}})
}
