// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// The environment of an event's command says which run it is in: what it changes may be the run's
// own.
const (
	runVariable     = "NETPOL_LATENCY_RUN"
	agentsVariable  = "NETPOL_LATENCY_AGENTS"
	targetsVariable = "NETPOL_LATENCY_TARGETS"
)

// errEventFailed is why a run fails whose event did: nothing is known of what it was to be.
var errEventFailed = errors.New("the event failed")

// runDisruption lets the event happen and returns a sample of every pair. What was seen counts
// although the event has failed, and the run has then, too.
func (it *iteration) runDisruption(ctx context.Context) ([]measure.Sample, error) {
	failed := it.disrupt(ctx)
	if failed != nil && !errors.Is(failed, errEventFailed) {
		return nil, failed
	}
	samples, err := it.collect(ctx)
	return samples, errors.Join(failed, err)
}

// disrupt lets the event happen, in the middle of the watch, and notes when.
func (it *iteration) disrupt(ctx context.Context) error {
	it.deaf, it.probing = it.env.lostAgents(), it.env.livingAgents()
	settle := it.env.options.Disruption.Settle
	if err := it.watch(ctx, "watching before the event", settle); err != nil {
		return err
	}

	it.before = time.Now()
	it.after = it.before
	event, err := it.happen(ctx)
	event.Iteration, event.Began, event.Ended = it.number, it.before, time.Now()
	if err != nil {
		event.Error = err.Error()
	}
	it.env.events = append(it.env.events, event)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	return errors.Join(err, it.watch(ctx, "watching after the event", settle))
}

// happen is the event itself.
func (it *iteration) happen(ctx context.Context) (result.Event, error) {
	switch d := it.env.options.Disruption; {
	case d.Event != "":
		return it.runCommand(ctx, d.Event)
	case d.Restart != "":
		return it.restart(ctx, d)
	default:
		return result.Event{What: "nothing"}, it.watch(ctx, "watching", d.For)
	}
}

// watch lets the agents watch for so long. They are not asked whether they are there: the event may
// cut them off for a while, and they go on watching.
func (it *iteration) watch(ctx context.Context, what string, long time.Duration) error {
	const every = time.Second
	for began := time.Now(); ; {
		left := long - time.Since(began)
		it.env.report(what, int((long - left).Seconds()), int(long.Seconds()))
		if left <= 0 {
			return it.env.collector.failure()
		}
		select {
		case <-time.After(min(left, every)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// endOfCommand is how long a command that is to end may take to do so, and its children to close
// its output.
const endOfCommand = 2 * time.Second

// runCommand runs an event's command in a process group of its own, which the end of the run takes
// along.
func (it *iteration) runCommand(ctx context.Context, command string) (result.Event, error) {
	it.env.report("the event is under way", 0, 0)
	var out output
	shell := shellOf(ctx, command)
	shell.Stdout, shell.Stderr = &out, &out
	shell.Env = append(os.Environ(),
		runVariable+"="+it.env.options.RunID,
		agentsVariable+"="+it.env.parameters.AgentNamespace,
		targetsVariable+"="+it.env.parameters.TargetNamespace)
	shell.WaitDelay = endOfCommand

	err := shell.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has ended well, and left something behind that holds its output
	}
	event := result.Event{What: command, ExitCode: new(shell.ProcessState.ExitCode())}
	event.Marks, event.LeftOut = out.marks()
	if err != nil {
		err = fmt.Errorf("%w: %s: %w", errEventFailed, command, err)
		if n := len(event.Marks); n > 0 {
			err = fmt.Errorf("%w: %s", err, event.Marks[n-1].Text)
		}
	}
	return event, err
}

// What is kept of an event: lines at its beginning, as many at its end, and so much of each.
const (
	keptLines   = 100
	longestLine = 500
)

// output keeps the lines that a command writes, with the instant of each, the first and the last of
// them.
type output struct {
	mu          sync.Mutex
	first, last []result.Mark
	leftOut     int
	part        []byte // of a line that has not ended
}

// Write implements io.Writer.
func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := time.Now()
	o.part = append(o.part, text...)
	for {
		line, rest, whole := bytes.Cut(o.part, []byte("\n"))
		if !whole {
			break
		}
		o.add(line, at)
		o.part = rest
	}
	if len(o.part) > longestLine {
		o.add(o.part, at)
		o.part = nil
	}
	o.part = bytes.Clone(o.part)
	return len(text), nil
}

// add keeps a line. The caller holds the lock.
func (o *output) add(line []byte, at time.Time) {
	mark := result.Mark{At: at, Text: visible.Line(string(line[:min(len(line), longestLine)]))}
	if len(o.first) < keptLines {
		o.first = append(o.first, mark)
		return
	}
	if len(o.last) == keptLines {
		o.last = o.last[1:]
		o.leftOut++
	}
	o.last = append(o.last, mark)
}

// marks are the lines that were kept, and how many in their middle were not.
func (o *output) marks() (kept []result.Mark, leftOut int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.part) > 0 {
		o.add(o.part, time.Now())
		o.part = nil
	}
	return append(o.first, o.last...), o.leftOut
}
