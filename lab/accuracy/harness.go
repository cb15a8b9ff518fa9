// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package accuracy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// resultTimeout is how long a cell may take beyond its delay before its results are asked for as
// they are.
const resultTimeout = 30 * time.Second

// Evaluated is what the engine saw of a pair beside what the filter did.
type Evaluated struct {
	Found
	Commit flat.Commit
	// Holds says whether the bracket contains the commit, Error how far the middle of the bracket
	// is from its end.
	Holds bool
	Error time.Duration
}

// Result is a cell that was run.
type Result struct {
	Cell      Cell
	Evaluated []Evaluated
	Stats     probe.Stats
	// Memory is the most that the prober has had resident so far, in bytes.
	Memory int64
}

// surprises are what should not have been, one line each.
func (r Result) surprises() []string {
	var all []string
	for i, one := range r.Evaluated {
		since := func(t time.Time) time.Duration { return t.Sub(one.Commit.Before) }
		if !one.Holds {
			all = append(all, fmt.Sprintf("pair %d: the bracket is [%s, %s] of the commit, which "+
				"took %s: %s, confirmed %t",
				i, since(one.Bracket.Lower), since(one.Bracket.Upper), since(one.Commit.After),
				one.Evidence, one.Confirmed))
		}

		for _, flap := range one.Flaps {
			all = append(all, fmt.Sprintf("pair %d: became %s in [%s, %s] of the commit: %s "+
				"after %s",
				i, flap.To, since(flap.Bracket.Lower), since(flap.Bracket.Upper), flap.Evidence,
				flap.Before))
		}
	}

	return all
}

// Harness runs cells.
type Harness struct {
	Rules    measure.Rules
	Relative float64
	MaxRate  float64
	// Paced has the engine find the rate that the network bears.
	Paced bool

	network *flat.Network
	replies chan reply
	prober  *process
	server  *process
}

// process is a child of this program inside a namespace of the network.
type process struct {
	command *exec.Cmd
	input   io.WriteCloser
	output  *json.Decoder
}

// NewHarness builds the network and starts the server and the prober in it. Close ends them.
func NewHarness() (h *Harness, err error) {
	h = &Harness{replies: make(chan reply, 64)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()

	if h.network, err = flat.New(); err != nil {
		return h, err
	}
	if h.server, err = launch(h.network.Target, "serve"); err != nil {
		return h, err
	}

	var ready bool
	if err := h.server.output.Decode(&ready); err != nil {
		return h, fmt.Errorf("wait for the server: %w", err)
	}
	if h.prober, err = launch(h.network.Client, "probe"); err != nil {
		return h, err
	}

	go h.readReplies()
	return h, nil
}

// launch starts this program again, with a hidden command, inside a namespace.
func launch(where *netns.Namespace, command string) (*process, error) {
	p := &process{command: exec.Command("/proc/self/exe", command)}
	p.command.Stderr = os.Stderr

	// A terminal's Ctrl-C is for the parent, with which the child ends however that does.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.input, err = p.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command, err)
	}

	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command, err)
	}
	p.output = json.NewDecoder(output)
	if err := where.Do(p.command.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", command, err)
	}

	return p, nil
}

// stop ends the process, which ends with its input.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	_ = p.input.Close()
	return p.command.Wait()
}

// Close takes everything down.
func (h *Harness) Close() error {
	err := errors.Join(h.prober.stop(), h.server.stop())
	if h.network != nil {
		err = errors.Join(err, h.network.Close())
	}
	return err
}

// DropAtRandom makes the network lose a part of all packets.
func (h *Harness) DropAtRandom(part float64) error { return h.network.DropAtRandom(part) }

// Run runs one cell: the old state, its proof, the trigger, the changes, the results.
func (h *Harness) Run(ctx context.Context, cell Cell) (Result, error) {
	return h.run(ctx, cell, func() error { return nil })
}

// run runs a cell, and does something between the proof and the trigger.
func (h *Harness) run(ctx context.Context, cell Cell, between func() error) (Result, error) {
	targets := cell.Targets()
	if cell.Want == measure.StateAllowed {
		if _, err := h.network.Block(cell.Denial, targets); err != nil {
			return Result{}, err
		}
	}

	schedule := h.schedule(cell)
	if err := h.send(request{Start: &start{cell, h.Rules, schedule, h.Paced}}); err != nil {
		return Result{}, err
	}
	var proved int64
	if err := h.await(ctx, resultTimeout, func(r reply) bool {
		proved = max(proved, r.Proved)
		return r.Proved == int64(cell.Pairs)
	}); err != nil {
		return Result{}, fmt.Errorf("prove the old state of %d of %d pairs: %w", proved, cell.Pairs,
			err)
	}
	if err := between(); err != nil {
		return Result{}, err
	}

	// The pace of the time after the trigger begins before it, once for every pair and a bit.
	lead := 2*schedule.After(0, cell.Pairs) + 20*time.Millisecond
	at := time.Now().Add(lead)
	if err := h.send(request{Trigger: at}); err != nil {
		return Result{}, err
	}

	commits, err := h.change(ctx, cell, at)
	if err != nil {
		return Result{}, err
	}
	// A pair that never settles shows in the results.
	settled := h.await(ctx, resultTimeout, func(r reply) bool {
		return r.Settled == int64(cell.Pairs)
	})

	if settled != nil && !errors.Is(settled, errLate) {
		return Result{}, settled
	}
	result, err := h.collect(cell, commits)
	if cell.Want == measure.StateBlocked && err == nil {
		_, err = h.network.Allow(cell.Denial, targets)
	}

	return result, err
}

// schedule is the default of the mode, unless told otherwise.
func (h *Harness) schedule(cell Cell) probe.Schedule {
	schedule := probe.DefaultSchedule(cell.Mode)
	schedule.BaseInterval = 100 * time.Millisecond
	if h.Relative > 0 {
		schedule.RelativeStep = h.Relative
	}
	if h.MaxRate > 0 {
		schedule.MaxRate = h.MaxRate
	}
	return schedule
}

// groups is in how many parts the filter is changed, each at an instant of its own.
const groups = 10

// change makes the changes, each after the delay and a jitter of its own.
func (h *Harness) change(ctx context.Context, cell Cell, at time.Time) ([]flat.Commit, error) {
	do := h.network.Allow
	if cell.Want == measure.StateBlocked {
		do = h.network.Block
	}
	targets := cell.Targets()
	size := (len(targets) + groups - 1) / groups
	var jitters []time.Duration
	for range groups {
		jitters = append(jitters, rand.N(20*time.Millisecond+cell.Delay/10))
	}

	slices.Sort(jitters)
	var commits []flat.Commit
	for group := range slices.Chunk(targets, size) {
		select {
		case <-time.After(time.Until(at.Add(cell.Delay + jitters[0]))):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		jitters = jitters[1:]
		made, err := do(cell.Denial, group)
		if err != nil {
			return nil, err
		}
		commits = append(commits, made...)
	}

	return commits, nil
}

// collect asks for the results and evaluates them.
func (h *Harness) collect(cell Cell, commits []flat.Commit) (Result, error) {
	if err := h.send(request{Stop: true}); err != nil {
		return Result{}, err
	}
	result := Result{Cell: cell}
	err := h.await(context.Background(), resultTimeout, func(r reply) bool {
		result.Stats, result.Memory = r.Stats, r.Memory
		for i, found := range r.Found {
			result.Evaluated = append(result.Evaluated, compare(found, commits[i]))
		}
		return r.Done
	})
	return result, err
}

func compare(found Found, commit flat.Commit) Evaluated {
	b := found.Bracket
	middle := b.Lower.Add(b.Width() / 2)
	return Evaluated{
		Found: found, Commit: commit,
		Holds: found.Confirmed && b.Bounded() && !b.Upper.Before(commit.Before) &&
			!b.Lower.After(commit.After),
		Error: middle.Sub(commit.After),
	}
}

func (h *Harness) send(one request) error {
	if err := json.NewEncoder(h.prober.input).Encode(one); err != nil {
		return fmt.Errorf("send to the prober: %w", err)
	}
	return nil
}

// await takes replies until one is as wanted.
func (h *Harness) await(ctx context.Context, within time.Duration, wanted func(reply) bool) error {
	late := time.After(within)
	for {
		select {
		case one, more := <-h.replies:
			switch {
			case !more:
				return errors.New("wait for the prober: it has ended")
			case one.Error != "":
				return errors.New(one.Error)
			case wanted(one):
				return nil
			}
		case <-late:
			return fmt.Errorf("%w after %s", errLate, within)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listen passes the prober's replies on until there are no more.
func (h *Harness) readReplies() {
	defer close(h.replies)
	for {
		var one reply
		if h.prober.output.Decode(&one) != nil {
			return
		}
		h.replies <- one
	}
}

// errLate is the error of a cell that takes too long.
var errLate = errors.New("wait for every pair: some are not there yet")
