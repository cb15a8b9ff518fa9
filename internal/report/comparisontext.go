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

// ComparisonText writes what a person reads in a terminal.
func ComparisonText(w io.Writer, c Comparison) error {
	var page bytes.Buffer
	wrapped(&page, "old  ", c.Old.Describe())
	wrapped(&page, "new  ", c.New.Describe())
	for _, one := range c.Results {
		fmt.Fprintf(&page, "\n%s, %s\n", one.Name, one.Counts(c.Unit))
		if len(one.Statistics) == 0 {
			continue
		}
		if err := one.table(&page); err != nil {
			return err
		}
	}

	fmt.Fprintln(&page)
	for _, warning := range c.Warnings {
		wrapped(&page, "warning: ", warning)
	}

	for _, check := range c.Checks {
		wrapped(&page, "", check.Text())
	}

	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}

	return nil
}

func (r Compared) table(page *bytes.Buffer) error {
	table := tabwriter.NewWriter(page, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-10s\told\tnew\tchange\t95%% CI low\thigh\tin %%\tlow\thigh\tp\t\t\n", "")
	for _, statistic := range r.Statistics {
		fmt.Fprintf(table, "%-10s\t%s\t\n", "  "+string(statistic.Statistic),
			strings.Join(statistic.Cells(), "\t"))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}
	return nil
}

// Cells are a statistic in the columns of a table.
func (f ComparedStatistic) Cells() []string {
	return []string{
		f.Old.String(), f.New.String(), signed(f.Change.Value), signed(f.Change.Lower),
		signed(f.Change.Upper),
		percent(f.Ratio.Value), percent(f.Ratio.Lower), percent(f.Ratio.Upper),
		probability(f.Adjusted), f.Verdict(),
	}
}

// Counts says how many replicates there are, and what became of pairs that must stay blocked.
func (r Compared) Counts(unit Unit) string {
	if r.Old.Kind.Stays() {
		if r.Old.Disruption.Pairs > 0 {
			return StaysText(r.Old) + ", and " + StaysText(r.New)
		}
		return fmt.Sprintf("%d and %d leaks", r.Old.Leaks, r.New.Leaks)
	}
	return fmt.Sprintf("%s and %s", many(r.Statistics[0].OldCount, unit),
		many(r.Statistics[0].NewCount, unit))
}

// Describe says in a line what a side is.
func (s Side) Describe() string {
	first := s.Sources[0].Run
	var plugins []string
	for _, plugin := range first.Plugins {
		plugins = append(plugins, plugin.String())
	}
	text := fmt.Sprintf("%s: %s of %s, Kubernetes %s", s.Path, many(len(s.Sources), UnitRun),
		first.Began.UTC().Format("2006-01-02 15:04 UTC"), known(first.Kubernetes))
	if len(plugins) > 0 {
		text += ", " + strings.Join(plugins, ", ")
	}
	return text
}
