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
	// Summary, if there is one, tells the quantiles instead: those that are only known to be longer than
	// something are shown with a >.
	Summary *measure.Summary
	// Note stands in the place of the figures of a row that has none.
	Note string
}

// Rows are the lines of a summary: the latency, and its resolution beneath it.
func Rows(summary measure.Summary) []Row {
	of := fmt.Sprintf("%d/%d", summary.Account.Count(measure.Measured), summary.Account.Expected)
	if summary.Forbidden {
		return []Row{{Label: summary.Scenario, Of: of, Note: fmt.Sprintf("%d leaks", summary.Leaks)}}
	}
	return []Row{
		{Label: summary.Scenario, Of: of, Durations: summary.Latency, Summary: &summary},
		{Label: "  resolution", Durations: summary.Resolution},
	}
}

// Table writes one line of percentiles for each row, and the warnings beneath. It fits 100 columns.
func Table(w io.Writer, rows []Row, warnings []string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-34s\tof\tmin\tp50\tp90\tp95\tp99\tmax\t\n", "")
	for _, row := range rows {
		fmt.Fprintf(table, "%-34s\t%s\t", row.Label, row.Of)
		if row.Note != "" {
			fmt.Fprintf(table, "%s\t\t\t\t\t\t\n", row.Note)
			continue
		}
		for _, q := range []float64{0, 0.5, 0.9, 0.95, 0.99, 1} {
			fmt.Fprintf(table, "%s\t", row.cell(q))
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

func (r Row) cell(q float64) string {
	if r.Summary != nil && r.Summary.Account.Count(measure.Censored) > 0 {
		found := r.Summary.Quantile(q)
		if found.Longer {
			return ">" + Duration(found.Value)
		}
		return Duration(found.Value)
	}
	if len(r.Durations) == 0 {
		return "-"
	}
	return Duration(r.Durations.Quantile(q))
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
