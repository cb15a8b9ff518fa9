// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// An engine that takes 130 ms instead of 100 ms is found by comparing ten rounds each; one that takes 100 ms again is
// not. $NETPOL_LATENCY_REGRESSIONS says how often, once without it.
func TestRegression(t *testing.T) {
	times := 1
	if text := os.Getenv("NETPOL_LATENCY_REGRESSIONS"); text != "" {
		var err error
		times, err = strconv.Atoi(text)
		must(t, err)
	}
	lab := labtest.Start(t, "--delay", "100ms")
	found, alarms := 0, 0
	for i := range times {
		old, same, slower := tenRounds(t, lab, "100ms"), tenRounds(t, lab, "100ms"), tenRounds(t, lab, "130ms")
		code, text := compared(t, lab, old, slower)
		t.Logf("%d: 100 ms against 130 ms: exit code %d\n%s", i+1, code, figures(text))
		if code == exitThreshold {
			found++
		}
		code, text = compared(t, lab, old, same)
		t.Logf("%d: 100 ms against 100 ms: exit code %d\n%s", i+1, code, figures(text))
		if code != exitOK {
			alarms++
		}
	}
	t.Logf("of %d times the slower engine was found in %d, and the same engine called slower in %d", times, found, alarms)
	if found != times || alarms != 0 {
		t.Errorf("found %d of %d, with %d false alarms", found, times, alarms)
	}
}

// tenRounds measures ten triggers with an engine of a delay, and returns the directory of the run.
func tenRounds(t *testing.T, lab *labtest.Lab, delay string) string {
	t.Helper()
	lab.Set("--delay", delay)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	directory := filepath.Join(t.TempDir(), "run")
	output, err := command(ctx, t, lab, "run", "policy-deny", "--targets=3", "--repeat=10", "-o", directory).CombinedOutput()
	if err != nil {
		t.Fatalf("run with a delay of %s: %v: %s", delay, err, output)
	}
	return directory
}

// compared runs the comparison with limits that are exceeded by 30 %.
func compared(t *testing.T, lab *labtest.Lab, old, later string) (code int, text string) {
	t.Helper()
	output, err := command(t.Context(), t, lab, "compare", old, later, "--fail-if", "p99 > +10%", "--fail-if", "median > +10%").
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
		if strings.HasPrefix(strings.TrimSpace(line), "median") || strings.HasPrefix(strings.TrimSpace(line), "p99") {
			lines = append(lines, strings.TrimRight(line, " \n"))
		}
	}
	return strings.Join(lines, "\n")
}
