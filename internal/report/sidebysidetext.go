// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// SideBySideFormats are all formats of more than two sides in this package, the default first.
func SideBySideFormats() []Format[SideBySide] {
	return []Format[SideBySide]{
		{Name: "text", Summary: "tables for a terminal", Write: SideBySideText},
		{Name: "markdown", Summary: "for a comment on a pull request", Write: SideBySideMarkdown},
	}
}

// SideBySideText writes what a person reads in a terminal. The table is as wide as its columns.
func SideBySideText(w io.Writer, c SideBySide) error {
	var page bytes.Buffer
	for i, side := range c.Sides {
		wrapped(&page, "", c.Names[i]+": "+side.Describe())
	}

	fmt.Fprintln(&page)
	table := tabwriter.NewWriter(&page, 0, 0, 2, ' ', tabwriter.AlignRight)
	width := 0 // numbers are aligned on the right, names on the left
	for _, result := range c.Results {
		width = max(width, len(result.Name))
	}
	fmt.Fprintf(table, "%-*s\t%s\t\n", width, "", strings.Join(c.Names, "\t"))
	for _, result := range c.Results {
		fmt.Fprintf(table, "%-*s\t%s\n", width, result.Name, strings.Repeat("\t", len(c.Names)))
		for _, row := range result.Rows() {
			fmt.Fprintf(table, "%-*s\t%s\t\n", width, "  "+row.Label,
				strings.Join(row.Cells, "\t"))
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}

	fmt.Fprintln(&page)
	for _, warning := range c.Warnings {
		wrapped(&page, "warning: ", warning)
	}
	wrapped(&page, "", c.Shown())
	for _, difference := range c.Differences {
		wrapped(&page, "  ", difference.Text())
	}

	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}
	return nil
}

// SideBySideMarkdown writes a table, as a comment on a change shows it.
func SideBySideMarkdown(w io.Writer, c SideBySide) error {
	var page bytes.Buffer
	fmt.Fprint(&page, "### Network policy latency, side by side\n\n")
	for i, side := range c.Sides {
		fmt.Fprintf(&page, "- %s: %s\n", escape(c.Names[i]), escape(side.Describe()))
	}

	fmt.Fprint(&page, "\n| result | |")
	for _, name := range c.Names {
		fmt.Fprintf(&page, " %s |", escape(name))
	}
	fmt.Fprint(&page, "\n| --- | --- |"+strings.Repeat(" --- |", len(c.Names))+"\n")
	for _, result := range c.Results {
		for _, row := range result.Rows() {
			fmt.Fprintf(&page, "| %s | %s | %s |\n", escape(result.Name), row.Label,
				strings.Join(row.Cells, " | "))
		}
	}

	fmt.Fprintln(&page)
	var lines []string
	for _, warning := range c.Warnings {
		lines = append(lines, "**warning:** "+escape(warning))
	}
	lines = append(lines, escape(c.Shown()))
	for _, difference := range c.Differences {
		lines = append(lines, escape(difference.Text()))
	}
	list(&page, lines)
	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}
	return nil
}
