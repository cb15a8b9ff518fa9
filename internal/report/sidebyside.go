// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// SideBySide compares more than two sides, each with each other.
type SideBySide struct {
	Sides []Side
	// Names are those of the sides in tables.
	Names   []string
	Unit    Unit
	Results []SideBySideResult
	// Differences are those that chance does not explain, the pairs of sides in their order.
	// Comparisons is of how many.
	Differences []SideDifference
	Comparisons int
	// Warnings qualify all of it.
	Warnings []string
}

// SideBySideResult is one result on all sides.
type SideBySideResult struct {
	Name string
	// Of has what each side measured, without samples if it has no such result.
	Of []measure.Result

	replicates [][]measure.Summary
}

// SideDifference is a statistic of a result in which two sides differ.
type SideDifference struct {
	Result         string
	Faster, Slower string
	// ComparedStatistic has the faster side as the old one.
	ComparedStatistic
}

// CompareAll compares every side with every other. Unless forced it refuses what is not comparable
// with an error that says what differs from the first.
func CompareAll(sides []Side, force bool) (SideBySide, error) {
	c := SideBySide{Sides: sides, Names: sideNames(sides), Unit: unitOf(sides...)}
	var err error
	if c.Warnings, err = refuse(force, sides...); err != nil {
		return c, err
	}

	c.match()
	if len(c.Results) == 0 {
		return c, errNothingInCommon
	}

	c.compare()
	c.warn()
	return c, nil
}

// sideNames are the last parts of the paths, or the paths, if two have the same last one.
func sideNames(sides []Side) []string {
	var short, long []string
	for _, side := range sides {
		short = append(short, filepath.Base(side.Path))
		long = append(long, side.Path)
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(short))); len(distinct) < len(short) {
		return long
	}
	return short
}

// match finds the results that the first side and at least one other have.
func (c *SideBySide) match() {
	var replicates []map[resultKey][]measure.Summary
	var results []map[resultKey]measure.Result
	for _, side := range c.Sides {
		replicates = append(replicates, side.replicates(c.Unit))
		results = append(results, pooled(side))
	}
	keys := slices.SortedFunc(maps.Keys(replicates[0]), func(a, b resultKey) int {
		return strings.Compare(a.setting+"\x00"+a.scenario, b.setting+"\x00"+b.scenario)
	})

	for _, key := range keys {
		one, have := SideBySideResult{Name: key.String()}, 0
		for i := range c.Sides {
			its := key
			if replicates[i][key] == nil {
				its = only(replicates[0], replicates[i], key)
			}
			one.Of = append(one.Of, results[i][its])
			one.replicates = append(one.replicates, replicates[i][its])
			if replicates[i][its] != nil {
				have++
			}
		}
		if have > 1 {
			c.Results = append(c.Results, one)
		}
	}
}

// sideStatistics are compared of each result.
func sideStatistics() []measure.Statistic { return []measure.Statistic{"median", "p99"} }

// compare finds the differences that chance does not explain, over all of the comparisons.
func (c *SideBySide) compare() {
	var found []SideDifference
	for _, result := range c.Results {
		if !result.HasLatency() {
			continue
		}
		for _, statistic := range sideStatistics() {
			for i := range c.Sides {
				for j := range i {
					found = append(found, c.difference(result, statistic, j, i))
				}
			}
		}
	}
	found = slices.DeleteFunc(found, func(d SideDifference) bool { return !d.Enough() })

	var all []*ComparedStatistic
	for i := range found {
		all = append(all, &found[i].ComparedStatistic)
	}
	adjust(all)
	c.Comparisons = len(found)
	for _, one := range found {
		if one.Adjusted <= measure.Significance {
			c.Differences = append(c.Differences, one)
		}
	}
}

// difference compares a statistic of two sides.
func (c *SideBySide) difference(
	result SideBySideResult, statistic measure.Statistic, first, second int,
) SideDifference {
	compared := measure.Compare(statistic, result.replicates[first], result.replicates[second])
	if !(ComparedStatistic{Comparison: compared}).Slower() {
		first, second = second, first
		compared = measure.Compare(statistic, result.replicates[first], result.replicates[second])
	}
	return SideDifference{
		Result: result.Name, Faster: c.Names[first], Slower: c.Names[second],
		ComparedStatistic: ComparedStatistic{Comparison: compared},
	}
}

// HasLatency reports whether the result is about pairs that have to change.
func (r SideBySideResult) HasLatency() bool { return !r.Of[0].Summary.Kind.Stays() }

// Rows are the lines of the result in a table with a column for each side.
func (r SideBySideResult) Rows() []Row {
	row := func(label string, cell func(measure.Summary) string) Row {
		one := Row{Label: label}
		for _, result := range r.Of {
			text := none
			if len(result.Samples) > 0 {
				text = cell(result.Summary)
			}
			one.Cells = append(one.Cells, text)
		}
		return one
	}
	counts := []Row{row("n", func(s measure.Summary) string {
		return fmt.Sprintf("%d/%d", s.Account.Count(measure.Measured), s.Account.Expected)
	})}
	if !r.HasLatency() {
		return append(counts, row("leaks", func(s measure.Summary) string {
			return fmt.Sprint(s.Leaks)
		}))
	}
	if slices.ContainsFunc(r.Of, func(m measure.Result) bool { return m.Summary.Flaps > 0 }) {
		counts = append(counts, row("flaps", func(s measure.Summary) string {
			return fmt.Sprint(s.Flaps)
		}))
	}

	var all []Row
	for _, name := range []string{"p50", "p99"} {
		all = append(all, row(name, func(s measure.Summary) string {
			return FindCell(Cells(s), name).Value
		}), row("95% CI", func(s measure.Summary) string {
			text, _ := FindCell(Cells(s), name).Interval()
			return text
		}))
	}
	return append(all, counts...)
}

// Text is the difference as a sentence.
func (d SideDifference) Text() string {
	return fmt.Sprintf("%s: the %s of %s is longer than that of %s by %s (95%% CI %s to %s, p %s)",
		d.Result, d.Statistic, d.Slower, d.Faster, signed(d.Change.Value), signed(d.Change.Lower),
		signed(d.Change.Upper), probability(d.Adjusted))
}

// Shown says what the differences are part of.
func (c SideBySide) Shown() string {
	return fmt.Sprintf("%d of %s of two results differ by more than chance (5 %% over all of them)",
		len(c.Differences), measure.Plural(c.Comparisons, "comparison"))
}

// Cut says which of the compared runs did not come to their end, a sentence each.
func (c SideBySide) Cut() []string {
	var all []string
	for _, side := range c.Sides {
		all = append(all, side.cut()...)
	}
	return all
}

// warn adds what qualifies the comparison.
func (c *SideBySide) warn() {
	c.Warnings = append(c.Warnings, c.Cut()...)
	for _, result := range c.Results {
		c.Warnings = append(c.Warnings, result.warnings(c)...)
	}
	c.Warnings = append(c.Warnings, iterationsCompared(c.Unit, c.Sides...)...)

	first := c.Sides[0].Sources[0].Run.Version
	for i, side := range c.Sides[1:] {
		if other := side.Sources[0].Run.Version; other != first {
			c.Warnings = append(c.Warnings, fmt.Sprintf("the runs of %s and %s were made by "+
				"different versions, %s and %s", c.Names[0], c.Names[i+1], known(first),
				known(other)))
		}
	}
}

// warnings are what qualifies a result: pairs without a latency, and too few replicates.
func (r SideBySideResult) warnings(c *SideBySide) []string {
	var all []string
	least := -1
	for i, result := range r.Of {
		summary := result.Summary
		for _, status := range measure.Statuses()[1:] {
			if n := summary.Account.Count(status); n > 0 {
				all = append(all, fmt.Sprintf("%s: %d of %d pairs %s in %s", r.Name, n,
					summary.Account.Expected, status, c.Names[i]))
			}
		}
		if len(result.Samples) == 0 {
			all = append(all, fmt.Sprintf("%s: %s has no such result", r.Name, c.Names[i]))
			continue
		}
		having := slices.DeleteFunc(slices.Clone(r.replicates[i]), func(s measure.Summary) bool {
			return !s.HasLatency()
		})
		if least < 0 || len(having) < least {
			least = len(having)
		}
	}
	if !r.HasLatency() {
		return all
	}

	switch {
	case least < measure.MinReplicates:
		all = append(all, fmt.Sprintf("%s: one has a latency of %s only: at least %d of each are "+
			"needed for a verdict (--repeat)", r.Name, many(least, c.Unit), measure.MinReplicates))
	case 2*float64(c.Comparisons)*measure.LeastProbability(least, least) > measure.Significance:
		all = append(all, fmt.Sprintf("%s: %s are too few to show a difference in any of %s: "+
			"repeat more often", r.Name, many(least, c.Unit),
			measure.Plural(c.Comparisons, "comparison")))
	}
	return all
}
