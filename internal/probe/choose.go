// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// checkTimeout is how long a self-check's probe may take: its addresses are this machine's.
const checkTimeout = 200 * time.Millisecond

// New starts an engine. The schedule is fitted to the descriptors that the process may open, with a
// warning if that slows it down.
func New(config Config) (*Engine, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	mode, reason, err := choose(config.Mode)
	if err != nil {
		return nil, err
	}
	if config.Schedule.MaxRate == 0 {
		config.Schedule.MaxRate = defaultMaxRate(mode)
	}

	e, err := start(mode, config)
	if err != nil {
		return nil, err
	}
	e.Reason = reason
	return e, nil
}

// choose decides on a mode and says why.
func choose(asked Mode) (Mode, string, error) {
	if asked != Auto {
		_, err := ParseMode(string(asked))
		return asked, "asked for", err
	}

	var found []error
	for _, mode := range []Mode{SYN, Connect} {
		err := selfCheck(mode)
		if err == nil && len(found) == 0 {
			return mode, "the cheapest, and it works", nil
		}
		if err == nil {
			return mode, fmt.Sprintf("it works and syn does not: %v", errors.Join(found...)), nil
		}
		found = append(found, err)
	}

	return "", "", fmt.Errorf("find a probe mode that works: %w", errors.Join(found...))
}

// selfCheck probes an address that is known to be open and one that is known to be closed, and
// returns an error unless the mode tells them apart.
func selfCheck(mode Mode) error {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("check probe mode %s: %w", mode, err)
	}
	defer open.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("check probe mode %s: %w", mode, err)
	}
	_ = closed.Close() // from now on nobody listens there

	engine, err := start(mode, Config{Timeout: checkTimeout, Schedule: Schedule{
		BaseInterval: checkTimeout, MinInterval: checkTimeout, MaxRate: 1000,
	}})
	if err != nil {
		return err
	}
	for _, expected := range []struct {
		at      net.Listener
		verdict measure.Verdict
	}{{open, measure.Allowed}, {closed, measure.Refused}} {
		to := expected.at.Addr().(*net.TCPAddr).AddrPort()
		if got := once(engine, to); got.Verdict != expected.verdict {
			return errors.Join(fmt.Errorf("check probe mode %s: a probe of this pod's own port %d "+
				"was %s: expected %s", mode, to.Port(), got.Verdict, expected.verdict),
				engine.Close())
		}
	}
	return engine.Close()
}

// single is the observer of one probe.
type single struct{ outcome chan measure.Outcome }

func (s single) OnOutcome(outcome measure.Outcome) bool {
	select {
	case s.outcome <- outcome:
	default:
	}
	return true
}

func (s single) OnOverdue(int, time.Time) {}

func (s single) OnStopped() {}

// once sends one probe and waits for its outcome.
func once(engine *Engine, to netip.AddrPort) measure.Outcome {
	observer := single{make(chan measure.Outcome, 1)}
	engine.Add(to, observer)
	return <-observer.outcome
}
