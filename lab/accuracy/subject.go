// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package accuracy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// request is what the harness tells the prober, which runs in a process of its own in the client's
// network.
type request struct {
	// Start asks to probe the targets of a cell.
	Start *start `json:"start,omitempty"`
	// Trigger says when the change will be made.
	Trigger time.Time `json:"trigger,omitzero"`
	// Stop asks for the results, complete or not.
	Stop bool `json:"stop,omitempty"`
}

type start struct {
	Cell     Cell
	Rules    measure.Rules
	Schedule probe.Schedule
	Paced    bool
}

// reply is what the prober tells the harness.
type reply struct {
	// Proved counts the pairs that were seen in their old state, Settled those that have their
	// transition.
	Proved  int64 `json:"proved,omitempty"`
	Settled int64 `json:"settled,omitempty"`
	// Found holds the results, one for each pair, and Done says that they are complete.
	Found []Found     `json:"found,omitempty"`
	Done  bool        `json:"done,omitempty"`
	Stats probe.Stats `json:"stats,omitzero"`
	// Memory is the most that the prober's process has had resident so far, in bytes.
	Memory int64  `json:"memory,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Found is what the engine saw of one pair.
type Found struct {
	Bracket   measure.Bracket
	Evidence  measure.Verdict
	Confirmed bool
	Flaps     []measure.Change
	Lost      uint64
	// Presumed is when the pair was presumed to be blocked, before it was proved, zero if it was
	// not; Recanted is how often that was taken back.
	Presumed time.Time `json:",omitzero"`
	Recanted int
}

// subject is the engine under test.
type subject struct {
	replies *json.Encoder
	engine  *probe.Engine
	pairs   []*watched
	handles []*probe.Pair
	proved  atomic.Int64
	settled atomic.Int64
	changed chan struct{} // has an element when a counter has moved
	// searching ticks while the engine searches for the rate.
	searching <-chan time.Time
}

// watched follows one pair.
type watched struct {
	subject    *subject
	transition measure.Transition
	oldState   measure.OldState
	trigger    atomic.Pointer[time.Time] // when the change will be made, nil before that is known
	recanted   int
}

// OnOutcome implements [probe.Observer].
func (w *watched) OnOutcome(o measure.Outcome) bool {
	w.transition.Observe(o)
	var trigger time.Time
	if known := w.trigger.Load(); known != nil {
		trigger = *known
	}
	if w.oldState.Observe(&w.transition, trigger) {
		change := int64(-1)
		if w.oldState.Proved() {
			change = 1
		}
		w.subject.count(&w.subject.proved, change)
	}
	return w.transition.Settled()
}

// OnOverdue implements [probe.Observer].
func (w *watched) OnOverdue(probes int, at time.Time) {
	before := w.transition.Presumed()
	w.transition.Presume(probes, at)
	if !before.IsZero() && w.transition.Presumed().IsZero() {
		w.recanted++
	}
}

// OnStopped implements [probe.Observer].
func (w *watched) OnStopped() { w.subject.count(&w.subject.settled, 1) }

func (s *subject) count(counter *atomic.Int64, change int64) {
	counter.Add(change)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Probe is the prober's process: it does what it reads until there is nothing more to read.
func Probe(requests io.Reader, replies io.Writer) error {
	s := &subject{replies: json.NewEncoder(replies), changed: make(chan struct{}, 1)}
	incoming := make(chan request)
	failed := make(chan error, 1)
	go func() {
		decoder := json.NewDecoder(requests)
		for {
			var one request
			if err := decoder.Decode(&one); err != nil {
				failed <- err
				return
			}
			incoming <- one
		}
	}()

	for {
		select {
		case one := <-incoming:
			if err := s.do(one); err != nil {
				return err
			}
		case <-s.changed:
			if err := s.report(); err != nil {
				return err
			}
		case <-s.searching:
			if err := s.report(); err != nil {
				return err
			}
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read a request: %w", err)
		}
	}
}

func (s *subject) do(one request) error {
	switch {
	case one.Start != nil:
		if err := s.start(*one.Start); err != nil {
			return s.replies.Encode(reply{Error: err.Error()})
		}
		return nil
	case !one.Trigger.IsZero():
		for _, pair := range s.pairs {
			pair.trigger.Store(&one.Trigger)
		}
		for _, handle := range s.handles {
			handle.Trigger(one.Trigger)
		}
		return nil
	default:
		return s.stop()
	}
}

func (s *subject) start(cell start) error {
	engine, err := probe.New(probe.Config{
		Mode: cell.Cell.Mode, Schedule: cell.Schedule, Timeout: probe.DefaultTimeout,
		// A connection that was open when the filter closed never gets its response.
		ResponseTimeout: time.Second,
		Paced:           cell.Paced,
		Control: probe.Control{
			// the first address that is not blocked with the targets
			Address:  flat.Targets(cell.Cell.Pairs+1, cell.Cell.Six)[cell.Cell.Pairs],
			Interval: probe.ControlInterval,
		},
	})
	if err != nil {
		return err
	}

	s.engine, s.pairs, s.handles = engine, nil, nil
	s.proved.Store(0)
	s.settled.Store(0)
	for _, to := range cell.Cell.Targets() {
		one := &watched{
			subject: s, transition: measure.NewTransition(cell.Cell.Want, cell.Rules),
			oldState: measure.OldState{Announced: true},
		}
		s.pairs = append(s.pairs, one)
		s.handles = append(s.handles, engine.Add(to, one))
	}

	return nil
}

// report sends how far the pairs have come. None is proved while the rate is searched for.
func (s *subject) report() error {
	now := reply{Proved: s.proved.Load(), Settled: s.settled.Load()}
	s.searching = nil
	if s.engine != nil && !s.engine.Pace().Found {
		now.Proved, s.searching = 0, time.After(searchTick)
	}
	return s.replies.Encode(now)
}

// searchTick is how often the subject looks whether the rate is found.
const searchTick = 10 * time.Millisecond

// stop ends the engine and passes its results on.
func (s *subject) stop() error {
	if s.engine == nil {
		return s.replies.Encode(reply{Done: true})
	}
	err := s.engine.Close()
	result := reply{Done: true, Stats: s.engine.Stats()}
	var failed error
	if result.Memory, failed = flat.Resident(); failed != nil {
		err = errors.Join(err, failed)
	}

	for _, one := range s.pairs {
		flaps, _ := one.transition.Flaps()
		change := one.transition.Change()
		result.Found = append(result.Found, Found{
			Bracket: change.Bracket, Evidence: change.Evidence,
			Confirmed: one.transition.Confirmed(), Flaps: flaps, Lost: one.transition.Lost(),
			Presumed: one.transition.Presumed(), Recanted: one.recanted,
		})
	}

	s.engine = nil
	select {
	case <-s.changed: // it has been reported
	default:
	}

	return errors.Join(err, s.replies.Encode(result))
}
