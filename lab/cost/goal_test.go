// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// costs are made up: every goal holds just so.
func costs() []Cost {
	work := func(each time.Duration) Work { return Work{Probes: 1000, CPU: 1000 * each} }
	return []Cost{
		{Subject: Subject{Name: nameFloor}, Dropped: work(2 * time.Microsecond)},
		{Subject: Subject{Name: "syn", Ours: true}, Dropped: work(2500 * time.Nanosecond), Answered: work(10 * time.Microsecond)},
		{Subject: Subject{Name: "connect", Ours: true}, Dropped: work(50 * time.Microsecond), Answered: work(50 * time.Microsecond)},
		{Subject: Subject{Name: nameCurl}, Dropped: work(10 * time.Millisecond), Answered: work(10 * time.Millisecond)},
		{Subject: Subject{Name: "hping3", Yardstick: true}, Dropped: work(5 * time.Microsecond), Answered: work(15 * time.Microsecond)},
		{Subject: Subject{Name: "masscan", Yardstick: true}, Missing: errors.New("it is not installed")},
	}
}

func TestGoals(t *testing.T) {
	memory := map[probe.Mode]int64{probe.SYN: 48 << 20, probe.Connect: 96 << 20}
	for _, goal := range Goals(costs(), memory) {
		if !goal.Holds {
			t.Errorf("missed: %s", goal.Text)
		}
		if strings.Contains(goal.Text, "masscan") {
			t.Errorf("a program that was left out is a yardstick: %s", goal.Text)
		}
	}
	worse := costs()
	worse[1].Dropped.CPU *= 3
	worse[1].Dropped.Mallocs = 1000
	worse[2].Answered.CPU *= 2
	memory[probe.SYN] = 49 << 20
	var missed []string
	for _, goal := range Goals(worse, memory) {
		if !goal.Holds {
			missed = append(missed, goal.Text)
		}
	}
	if len(missed) != 6 {
		t.Errorf("%d goals are missed, want 6: %q", len(missed), missed)
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	missed := Report(&out, costs(), []Goal{{"be good", true}, {"be better", false}})
	if missed != 1 {
		t.Errorf("%d goals are missed; want 1", missed)
	}
	for _, want := range []string{"left out: it is not installed", "MISSED  be better", "holds   be good", "2.50 us", "4000"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &out)
		}
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 101 {
			t.Errorf("a line is longer than 100 columns: %s", line)
		}
	}
}
