// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Row is one line of a [Table].
type Row struct {
	Label string
	// Of tells how many pairs the statistics cover of how many were expected, for example 20/20.
	Of string
	// Cells are the statistics: min, p50, p90, p95, p99 and max.
	Cells []string
	// Note stands in the place of the statistics of a row that has none.
	Note string
}

// Rows are the lines of a summary: the latency, the ends of the confidence intervals of its
// quantiles if there are any, and its resolution.
func Rows(summary measure.Summary) []Row {
	of := fmt.Sprintf("%d/%d", summary.Account.Count(measure.Measured), summary.Account.Expected)
	if summary.Kind.Stays() {
		return []Row{{Label: summary.Scenario, Of: of, Note: broken(summary)}}
	}

	latency, lower := Row{Label: summary.Scenario, Of: of}, Row{Label: "  95% CI low"}
	upper, resolution := Row{Label: "  95% CI high"}, Row{Label: "  resolution"}
	intervals := false
	for _, cell := range Cells(summary) {
		_, known := cell.Interval()
		intervals = intervals || known
		latency.Cells = append(latency.Cells, cell.Value)
		lower.Cells = append(lower.Cells, cell.Lower)
		upper.Cells = append(upper.Cells, cell.Upper)
		resolution.Cells = append(resolution.Cells, cell.Resolution)
	}

	if !intervals {
		return []Row{latency, resolution}
	}

	return []Row{latency, lower, upper, resolution}
}

// broken is how often pairs did not keep their state.
func broken(s measure.Summary) string {
	if s.Disruption.Pairs > 0 {
		return measure.Plural(s.Disruption.Breaches, s.Kind.BreachName())
	}
	return StaysText(s)
}

// StaysText says what became of pairs that had to keep their state.
func StaysText(s measure.Summary) string {
	if s.Disruption.Pairs > 0 {
		return s.Disruption.Text(s.Kind)
	}
	return fmt.Sprintf("%d leaks", s.Leaks)
}

// Table writes one line for each row, and the warnings beneath. It fits 100 columns.
func Table(w io.Writer, rows []Row, warnings []string) error {
	var page bytes.Buffer
	table := tabwriter.NewWriter(&page, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-34s\tn\t", "")
	for _, shown := range measure.ShownQuantiles() {
		fmt.Fprintf(table, "%s\t", shown.Name)
	}

	fmt.Fprintln(table)
	for _, row := range rows {
		fmt.Fprintf(table, "%-34s\t%s\t", row.Label, row.Of)
		if row.Note != "" {
			fmt.Fprintf(table, "%s\t\t\t\t\t\t\n", row.Note)
			continue
		}
		for _, cell := range row.Cells {
			fmt.Fprintf(table, "%s\t", cell)
		}
		fmt.Fprintln(table)
	}

	if err := table.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}

	var lines bytes.Buffer
	for line := range strings.Lines(page.String()) {
		// a note is shorter than its columns
		lines.WriteString(strings.TrimRight(line, " \n") + "\n")
	}

	for _, warning := range warnings {
		wrapped(&lines, "warning: ", warning)
	}

	if _, err := lines.WriteTo(w); err != nil {
		return fmt.Errorf("write warnings: %w", err)
	}

	return nil
}

// Tables writes a table for each setting, with what qualifies its results.
func Tables(w io.Writer, summaries []measure.Summary) error {
	for _, group := range bySetting(summaries) {
		if group[0].Setting != "" {
			if _, err := fmt.Fprintln(w, group[0].Setting+":"); err != nil {
				return fmt.Errorf("write the results: %w", err)
			}
		}
		var rows []Row
		for _, summary := range group {
			rows = append(rows, Rows(summary)...)
		}
		if err := Table(w, rows, warnings(group)); err != nil {
			return err
		}
	}

	return nil
}

// warnings are those of all summaries, each with the name of its result.
func warnings(summaries []measure.Summary) []string {
	var all []string
	for _, summary := range summaries {
		for _, warning := range summary.Warnings {
			all = append(all, summary.Scenario+": "+warning)
		}
	}
	return all
}

// DistributionRow is the line of durations that are no result, such as errors.
func DistributionRow(label string, durations measure.Distribution) Row {
	row := Row{Label: label}
	for _, shown := range measure.ShownQuantiles() {
		row.Cells = append(row.Cells, end(durations.Quantile(shown.Q), len(durations) == 0))
	}
	return row
}
