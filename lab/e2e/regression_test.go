// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// BenchmarkRegression slows an engine down: one that takes 130 ms instead of 100 ms is found by
// comparing ten rounds each, and one that takes 100 ms again is not. It is no test, since the
// delays are true only on a machine that does nothing else.
func BenchmarkRegression(b *testing.B) {
	lab := labtest.Start(b, "--delay", "100ms")
	found, alarms := 0, 0
	for b.Loop() {
		old, same, slower := tenRounds(b, lab, "100ms"), tenRounds(b, lab, "100ms"),
			tenRounds(b, lab, "130ms")
		code, text := compared(b, lab, old, slower)
		b.Logf("100 ms against 130 ms: exit code %d\n%s", code, figures(text))
		if code == exitThreshold {
			found++
		}
		code, text = compared(b, lab, old, same)
		b.Logf("100 ms against 100 ms: exit code %d\n%s", code, figures(text))
		if code != exitOK {
			alarms++
		}
	}
	b.ReportMetric(float64(found)/float64(b.N), "found/op")
	b.ReportMetric(float64(alarms)/float64(b.N), "alarms/op")
	if found != b.N || alarms != 0 {
		b.Errorf("of %d times the slower engine was found in %d, and the same engine called "+
			"slower in %d; want %d and none",
			b.N, found, alarms, b.N)
	}
}

// tenRounds measures ten triggers with an engine of a delay, and returns the directory of the run.
func tenRounds(t testing.TB, lab *labtest.Lab, delay string) string {
	t.Helper()
	lab.Set("--delay", delay)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	directory := filepath.Join(t.TempDir(), "run")
	output, err := command(ctx, t, lab, "run", "policy-deny", "--targets=3", "--repeat=10", "-o",
		directory).CombinedOutput()
	if err != nil {
		t.Fatalf("run with a delay of %s: %v: %s", delay, err, output)
	}
	return directory
}

// compared runs the comparison with limits that are exceeded by 30 %.
func compared(t testing.TB, lab *labtest.Lab, old, later string) (code int, text string) {
	t.Helper()
	output, err := command(t.Context(), t, lab, "compare", old, later, "--fail-if", "p99 > +10%",
		"--fail-if", "median > +10%").
		CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode(), string(output)
	case err != nil:
		t.Fatal(err)
	}
	return exitOK, string(output)
}

// figures are the lines with numbers of a comparison.
func figures(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "median") ||
			strings.HasPrefix(strings.TrimSpace(line), "p99") {
			lines = append(lines, strings.TrimRight(line, " \n"))
		}
	}
	return strings.Join(lines, "\n")
}
