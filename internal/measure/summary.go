// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Distribution holds durations in ascending order. Its quantiles are exact: each is one of the
// durations.
type Distribution []time.Duration

// NewDistribution sorts a copy of the durations.
func NewDistribution(durations []time.Duration) Distribution {
	return slices.Sorted(slices.Values(durations))
}

// Quantile is the smallest duration that at least the fraction q (from 0 to 1) of all durations do
// not exceed, known as the nearest rank. It is zero for an empty distribution.
func (d Distribution) Quantile(q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	rank := int(math.Ceil(q*float64(len(d)) - 1e-9)) // 0.07*100 is a hair over 7
	return d[min(max(rank, 1), len(d))-1]
}

// Summary condenses the samples of one scenario.
type Summary struct {
	Scenario string
	// Setting is that of the samples.
	Setting string
	Account Account
	// Latency holds the estimates of the measured samples of which some probe saw the old state.
	Latency Distribution
	// Resolution holds the widths of their intervals.
	Resolution Distribution
	// Leaks counts the replies that policy forbade, Flaps the changes of state other than the
	// measured ones, of pairs that had to change.
	Leaks, Flaps int
	// Kind is that of the samples. Those that must keep their state have no latency.
	Kind Kind
	// Disruption is what was seen of pairs that had to keep their state through one, zero where
	// nobody watched for that.
	Disruption Disruption
	// Warnings qualify the statistics above.
	Warnings []string

	observed []observed // in ascending order
}

// HasLatency reports whether something is known of the latency of a pair.
func (s Summary) HasLatency() bool { return len(s.observed) > 0 }

// Summarize condenses the samples of one scenario.
func Summarize(scenario string, samples []Sample) Summary {
	summary := Summary{Scenario: scenario, Account: Account{Expected: len(samples)}}
	var estimates, widths []time.Duration
	warned := make(map[string]int)
	for _, sample := range samples {
		summary.Setting = sample.Setting
		summary.Account.End(sample.Status)
		for _, warning := range sample.Warnings {
			warned[warning]++
		}
		summary.Leaks += sample.Leaks
		summary.Disruption.add(sample.Watched)
		summary.Kind = max(summary.Kind, sample.Kind)
		summary.Flaps += sample.CountFlaps()
		if _, known, ok := sample.Observed(); ok && known == Exact {
			latency := sample.Latency()
			estimates = append(estimates, latency.Estimate())
			widths = append(widths, latency.Resolution())
		}
	}

	summary.Latency = NewDistribution(estimates)
	summary.Resolution = NewDistribution(widths)
	summary.observed = observe(samples)
	summary.Warnings = warnings(summary, warned)
	return summary
}

// SummarizeAll condenses the samples of a run: one summary for each setting, scenario and part, by
// setting and name.
func SummarizeAll(samples []Sample) []Summary {
	var all []Summary
	for _, group := range groupByResult(samples) {
		all = append(all, Summarize(group[0].Scenario, group))
	}
	return all
}

// groupByResult divides the samples of a run by setting, scenario and part, in the order of their
// names.
func groupByResult(samples []Sample) [][]Sample {
	byResult := func(a, b Sample) int {
		return cmp.Or(cmp.Compare(a.Setting, b.Setting), cmp.Compare(a.Scenario, b.Scenario))
	}

	sorted := slices.SortedStableFunc(slices.Values(samples), byResult)
	var all [][]Sample
	for len(sorted) > 0 {
		end := slices.IndexFunc(sorted, func(s Sample) bool { return byResult(s, sorted[0]) != 0 })
		if end < 0 {
			end = len(sorted)
		}
		all, sorted = append(all, sorted[:end:end]), sorted[end:]
	}

	return all
}

// meaning is what a status that is no latency means for the percentiles.
func meaning(status Status) string {
	if status == Censored {
		return "they enter the percentiles as longer than they were watched for"
	}
	return "they are in no percentile"
}

func warnings(summary Summary, warned map[string]int) []string {
	var all []string
	for _, status := range Statuses()[1:] {
		if n := summary.Account.Count(status); n > 0 {
			all = append(all, fmt.Sprintf("%d of %d pairs %s: %s", n, summary.Account.Expected,
				status, meaning(status)))
		}
	}

	reached := 0
	for _, one := range summary.observed {
		if one.censored == LeftCensored {
			reached++
		}
	}
	if reached > 0 {
		all = append(all, fmt.Sprintf("%d of %d pairs were reached by their first probe: they "+
			"enter the percentiles as at most the time that this took", reached,
			summary.Account.Expected))
	}

	median := summary.Quantile(0.5)
	if width := summary.Resolution.Quantile(0.5); width > median.Value/2 && width > 0 &&
		median.Censored == Exact {
		all = append(all, fmt.Sprintf("the resolution (median %s) is large compared with the "+
			"latency (median %s)",
			FormatDuration(width), median))
	}

	for _, warning := range slices.Sorted(maps.Keys(warned)) {
		all = append(all, fmt.Sprintf("%d of %d samples: %s", warned[warning],
			summary.Account.Expected, warning))
	}

	return all
}
