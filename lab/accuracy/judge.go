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

// patience is how long a cell may take beyond its delay before its results are asked for as they
// are.
const patience = 30 * time.Second

// Judged is what the engine saw of a pair beside what the filter did.
type Judged struct {
	Found
	Commit flat.Commit
	// Holds says whether the bracket contains the commit, Error how far the middle of the bracket
	// is from its end.
	Holds bool
	Error time.Duration
}

// Result is a cell that was played.
type Result struct {
	Cell   Cell
	Judged []Judged
	Stats  probe.Stats
	// Memory is the most that the prober has had resident so far, in bytes.
	Memory int64
}

// surprises are what should not have been, one line each.
func (r Result) surprises() []string {
	var all []string
	for i, one := range r.Judged {
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

// Judge plays cells.
type Judge struct {
	Rules    measure.Rules
	Relative float64
	MaxRate  float64

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

// NewJudge builds the network and starts the server and the prober in it. Close ends them.
func NewJudge() (j *Judge, err error) {
	j = &Judge{replies: make(chan reply, 64)}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.Close())
		}
	}()
	if j.network, err = flat.New(); err != nil {
		return j, err
	}
	if j.server, err = launch(j.network.Target, "serve"); err != nil {
		return j, err
	}
	var ready bool
	if err := j.server.output.Decode(&ready); err != nil {
		return j, fmt.Errorf("wait for the server: %w", err)
	}
	if j.prober, err = launch(j.network.Client, "probe"); err != nil {
		return j, err
	}
	go j.listen()
	return j, nil
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
func (j *Judge) Close() error {
	err := errors.Join(j.prober.stop(), j.server.stop())
	if j.network != nil {
		err = errors.Join(err, j.network.Close())
	}
	return err
}

// Lose makes the network lose a part of all packets.
func (j *Judge) Lose(part float64) error { return j.network.Lose(part) }

// Play plays one cell: the old state, its proof, the trigger, the changes, the results.
func (j *Judge) Play(ctx context.Context, cell Cell) (Result, error) {
	return j.play(ctx, cell, func() error { return nil })
}

// play plays a cell, and does something between the proof and the trigger.
func (j *Judge) play(ctx context.Context, cell Cell, between func() error) (Result, error) {
	targets := cell.Targets()
	if cell.Want == measure.StateAllowed {
		if _, err := j.network.Block(cell.Denial, targets); err != nil {
			return Result{}, err
		}
	}
	schedule := j.schedule(cell)
	if err := j.say(request{Start: &start{cell, j.Rules, schedule}}); err != nil {
		return Result{}, err
	}
	var proved int64
	if err := j.hear(ctx, patience, func(r reply) bool {
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
	if err := j.say(request{Trigger: at}); err != nil {
		return Result{}, err
	}
	commits, err := j.change(ctx, cell, at)
	if err != nil {
		return Result{}, err
	}
	// A pair that never settles shows in the results.
	settled := j.hear(ctx, patience, func(r reply) bool { return r.Settled == int64(cell.Pairs) })
	if settled != nil && !errors.Is(settled, errLate) {
		return Result{}, settled
	}
	result, err := j.collect(cell, commits)
	if cell.Want == measure.StateBlocked && err == nil {
		_, err = j.network.Allow(cell.Denial, targets)
	}
	return result, err
}

// schedule is the default of the mode, unless told otherwise.
func (j *Judge) schedule(cell Cell) probe.Schedule {
	schedule := probe.DefaultSchedule(cell.Mode)
	schedule.BaseInterval = 100 * time.Millisecond
	if j.Relative > 0 {
		schedule.RelativeStep = j.Relative
	}
	if j.MaxRate > 0 {
		schedule.MaxRate = j.MaxRate
	}
	return schedule
}

// groups is in how many parts the filter is changed, each at an instant of its own.
const groups = 10

// change makes the changes, each after the delay and a jitter of its own.
func (j *Judge) change(ctx context.Context, cell Cell, at time.Time) ([]flat.Commit, error) {
	do := j.network.Allow
	if cell.Want == measure.StateBlocked {
		do = j.network.Block
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

// collect asks for the results and judges them.
func (j *Judge) collect(cell Cell, commits []flat.Commit) (Result, error) {
	if err := j.say(request{Stop: true}); err != nil {
		return Result{}, err
	}
	result := Result{Cell: cell}
	err := j.hear(context.Background(), patience, func(r reply) bool {
		result.Stats, result.Memory = r.Stats, r.Memory
		for i, found := range r.Found {
			result.Judged = append(result.Judged, compare(found, commits[i]))
		}
		return r.Done
	})
	return result, err
}

func compare(found Found, commit flat.Commit) Judged {
	b := found.Bracket
	middle := b.Lower.Add(b.Width() / 2)
	return Judged{
		Found: found, Commit: commit,
		Holds: found.Confirmed && b.Bounded() && !b.Upper.Before(commit.Before) &&
			!b.Lower.After(commit.After),
		Error: middle.Sub(commit.After),
	}
}

func (j *Judge) say(one request) error {
	if err := json.NewEncoder(j.prober.input).Encode(one); err != nil {
		return fmt.Errorf("tell the prober: %w", err)
	}
	return nil
}

// hear takes replies until one is as wanted.
func (j *Judge) hear(ctx context.Context, within time.Duration, wanted func(reply) bool) error {
	late := time.After(within)
	for {
		select {
		case one, more := <-j.replies:
			switch {
			case !more:
				return errors.New("hear of the prober: it has ended")
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
func (j *Judge) listen() {
	defer close(j.replies)
	for {
		var one reply
		if j.prober.output.Decode(&one) != nil {
			return
		}
		j.replies <- one
	}
}

// errLate is the error of a cell that takes too long.
var errLate = errors.New("wait for every pair: some are not there yet")
