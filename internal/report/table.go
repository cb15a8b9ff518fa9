// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Row is one line of a [Table]: a distribution under a label.
type Row struct {
	Label string
	// Of tells how many pairs the distribution covers of how many were expected, for example 20/20.
	Of        string
	Durations measure.Distribution
}

// Rows are the lines of a summary: the latency, and its resolution beneath it.
func Rows(summary measure.Summary) []Row {
	of := fmt.Sprintf("%d/%d", summary.Account.Count(measure.Measured), summary.Account.Expected)
	return []Row{
		{Label: summary.Scenario, Of: of, Durations: summary.Latency},
		{Label: "  resolution", Durations: summary.Resolution},
	}
}

// Table writes one line of percentiles for each row, and the warnings beneath. It fits 100 columns.
func Table(w io.Writer, rows []Row, warnings []string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-34s\tof\tmin\tp50\tp90\tp95\tp99\tmax\t\n", "")
	for _, row := range rows {
		fmt.Fprintf(table, "%-34s\t%s\t", row.Label, row.Of)
		for _, q := range []float64{0, 0.5, 0.9, 0.95, 0.99, 1} {
			fmt.Fprintf(table, "%s\t", cell(row.Durations, q))
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	for _, warning := range warnings {
		if _, err := fmt.Fprintln(w, "warning: "+warning); err != nil {
			return fmt.Errorf("write warnings: %w", err)
		}
	}
	return nil
}

func cell(durations measure.Distribution, q float64) string {
	if len(durations) == 0 {
		return "-"
	}
	return Duration(durations.Quantile(q))
}

// Duration formats a duration for a table: milliseconds with as many digits as mean something.
func Duration(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch size := max(ms, -ms); {
	case size >= 100:
		return fmt.Sprintf("%.0fms", ms)
	case size >= 10:
		return fmt.Sprintf("%.1fms", ms)
	default:
		return fmt.Sprintf("%.2fms", ms)
	}
}
