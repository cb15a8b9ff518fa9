// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// disrupted is an iteration of a disruption by a command, without a cluster.
func disrupted(t *testing.T, command string) *iteration {
	t.Helper()
	s, err := scenario.Find(scenario.DisruptionName)
	check(t, err)
	options := DefaultOptions()
	options.RunID = "r1"
	options.Disruption = setting.Disruption{Event: command}
	e := newEnvironment(options, s, nil, nil, func(Progress) {})
	e.collector = newCollector(kube.Namespace{}, setting.ClockAuto)
	return e.newIteration(s.Parts(e.parameters)[0])
}

// A command's lines are kept with their instants, and how it ended.
func TestEventCommand(t *testing.T) {
	tests := []struct {
		name, command string
		lines         []string
		leftOut, exit int
		failed        bool
	}{
		{name: "lines of both streams", command: "echo one; echo two >&2; printf three",
			lines: []string{"one", "two", "three"}},
		{name: "the names of what it may change", command: `echo "$NETPOL_LATENCY_RUN ` +
			`$NETPOL_LATENCY_AGENTS $NETPOL_LATENCY_TARGETS"`, lines: []string{
			"r1 netpol-latency-r1-0-disruption-agents netpol-latency-r1-0-disruption-targets"}},
		{name: "a failure", command: "echo no such node; exit 3", exit: 3, failed: true,
			lines: []string{"no such node"}},
		{name: "what it leaves behind holds its output", command: "echo begun; sleep 20 &",
			lines: []string{"begun"}},
		{name: "no more than is kept", command: "seq 300", leftOut: 100, lines: append(
			numbers(1, 100), numbers(201, 300)...)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			it := disrupted(t, test.command)
			err := it.disrupt(t.Context())
			if errors.Is(err, errEventFailed) != test.failed || (err != nil) != test.failed {
				t.Errorf("the error is %v; want one: %t", err, test.failed)
			}
			event := it.env.events[0]
			var lines []string
			for _, mark := range event.Marks {
				lines = append(lines, mark.Text)
				if mark.At.Before(event.Began) || mark.At.After(event.Ended) {
					t.Errorf("%q is of %s; want from %s to %s", mark.Text, mark.At, event.Began,
						event.Ended)
				}
			}
			if got, want := strings.Join(lines, "\n"), strings.Join(test.lines, "\n"); got != want {
				t.Errorf("the lines are\n%s\nwant\n%s", got, want)
			}
			if *event.ExitCode != test.exit || event.LeftOut != test.leftOut ||
				(event.Error != "") != test.failed {
				t.Errorf("exit code %d, %d left out, error %q", *event.ExitCode, event.LeftOut,
					event.Error)
			}
		})
	}
}

func numbers(from, to int) []string {
	var all []string
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return all
}

// Whoever ends the run ends the command, too.
func TestEventInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := disrupted(t, "sleep 60").disrupt(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v; want that of the context", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s; want an end at once", took)
	}
}

// However long a line is, so much of it is kept.
func TestEventLongLine(t *testing.T) {
	var out output
	for range 10 {
		_, _ = out.Write([]byte(strings.Repeat("x", longestLine/2)))
	}
	marks, _ := out.marks()
	for _, mark := range marks {
		if len(mark.Text) > longestLine {
			t.Errorf("a line has %d characters; want %d at most", len(mark.Text), longestLine)
		}
	}
}
