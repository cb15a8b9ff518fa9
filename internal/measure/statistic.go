// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Statistic names a duration that a [Summary] has: min, mean, median, max or pNN, for example p99
// or p99.9.
type Statistic string

// ParseStatistic reads the name of a statistic.
func ParseStatistic(text string) (Statistic, error) {
	statistic := Statistic(text)
	if _, ok := statistic.quantile(); !ok && statistic != "mean" {
		return "", fmt.Errorf("unknown statistic %q: expected %s", text,
			alternatives(durationStatistics("p0 to p100")))
	}
	return statistic, nil
}

// durationStatistics are the names of statistics, with some percentiles in the place of all.
func durationStatistics(percentiles ...string) []string {
	return slices.Concat([]string{"min", "mean", "median"}, percentiles, []string{"max"})
}

// alternatives lists names for a message: "a, b or c".
func alternatives(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// of is the statistic of a summary; without latencies ok is false.
func (f Statistic) of(s Summary) (value observed, ok bool) {
	if len(s.observed) == 0 {
		return observed{}, false
	}
	if f == "mean" {
		mean, censored := s.Mean()
		return observed{latency: mean, censored: censored}, true
	}
	q, _ := f.quantile()
	found := s.Quantile(q)
	return observed{latency: found.Value, censored: found.Censored}, true
}

// quantile is the fraction of the pairs that the statistic is about, if it is about one.
func (f Statistic) quantile() (float64, bool) {
	switch f {
	case "min":
		return 0, true
	case "median":
		return 0.5, true
	case "max":
		return 1, true
	}
	digits, ok := strings.CutPrefix(string(f), "p")
	percent, err := strconv.ParseFloat(digits, 64)
	plain := !strings.ContainsFunc(digits, unicode.IsLetter) // 1e1 and nan are floats too
	return percent / 100, ok && plain && err == nil && percent >= 0 && percent <= 100
}
