// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Bench writes a Go benchmark line for each iteration of each result, so that benchstat sees each
// trigger as one run of a benchmark. A statistic that is only known to be longer than something is
// left out of its line.
func Bench(w io.Writer, reports []Report) error {
	var page bytes.Buffer
	fmt.Fprintln(&page, "pkg: netpol-latency")
	for _, report := range reports {
		for _, result := range report.Results {
			for _, iteration := range result.Iterations {
				if line := benchLine(iteration); line != "" {
					fmt.Fprintln(&page, line)
				}
			}
		}
	}

	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}

	return nil
}

// benchLine is an iteration as a line, with the pairs in the place of the runs; empty if it has no
// latency.
func benchLine(iteration measure.Summary) string {
	if iteration.Kind.Stays() || len(iteration.Latency) == 0 {
		return ""
	}

	name := "BenchmarkLatency/scenario=" + benchWord(iteration.Scenario)
	if iteration.Setting != "" {
		name += "/setting=" + benchWord(iteration.Setting)
	}

	line := fmt.Sprintf("%s %d", name, len(iteration.Latency))
	for _, one := range []struct {
		unit string
		q    float64
	}{{"p50-ns", 0.5}, {"p99-ns", 0.99}, {"max-ns", 1}} {
		if found := iteration.Quantile(one.q); found.Censored == measure.Exact {
			line += fmt.Sprintf(" %d %s", found.Value.Nanoseconds(), one.unit)
		}
	}

	line += fmt.Sprintf(" %d censored", iteration.Account.Count(measure.Censored))
	if lost := iteration.Account.Count(measure.Unobserved); lost > 0 {
		line += fmt.Sprintf(" %d unobserved", lost)
	}

	return line
}

// benchWord makes a text one part of a benchmark's name.
func benchWord(text string) string {
	return strings.NewReplacer("/", ".", ", ", ",", " ", "_").Replace(text)
}
