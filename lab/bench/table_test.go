// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	r := madeUp()
	r.change("connect", Answered, Reading{CPU: 41_700 * time.Microsecond,
		Kernel: 60 * time.Millisecond})
	r.leaveOut("masscan", errors.New("it is not installed (make bench-packages)"))
	var out strings.Builder
	if err := r.report(&out); err != nil {
		t.Errorf("every goal holds, and yet: %v", err)
	}
	for _, want := range []string{
		"sh -c curl          10000      10000         1/1         1/1",
		"connect              50.0       41.7       1/200       1/240          0.00          " +
			"60.0      0.00",
		"syn at ingress       2.25          -      1/4444           -          0.00             " +
			"-      0.00",
		"floor                1.25          -      1/8000           -",
		"masscan is left out: it is not installed (make bench-packages).\n",
		"holds         connect, answered, costs at most 1/200 of curl: 1/240\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &out)
		}
	}
	for line := range strings.Lines(out.String()) {
		if width := len([]rune(line)) - 1; width > 100 {
			t.Errorf("a line has %d columns: want at most 100: %s", width, line)
		}
	}
}

func TestReportOfMissedGoal(t *testing.T) {
	r := madeUp()
	r.memory["syn"]++
	var out strings.Builder
	if err := r.report(&out); !errors.Is(err, errGoals) {
		t.Errorf("a goal is missed, and the error is %v: want %v", err, errGoals)
	}
	if want := "DOES NOT HOLD syn probes 10000 pairs"; !strings.Contains(out.String(), want) {
		t.Errorf("the report lacks %q:\n%s", want, &out)
	}
}

func TestMicros(t *testing.T) {
	for value, want := range map[float64]string{1.504: "1.50", 36.25: "36.2", 10_912.4: "10912"} {
		if got := micros(value); got != want {
			t.Errorf("micros(%v) is %s: want %s", value, got, want)
		}
	}
}
