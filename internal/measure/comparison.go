// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// MinReplicates is how many replicates each side of a comparison needs for a verdict. With five,
// the least probability that the two-sided test can give is 2 of 252.
const MinReplicates = 5

// Significance is the fraction of comparisons between equals that may be called different.
const Significance = 0.05

// Comparison compares one statistic of two sets of replicates, old and new. A replicate is what was
// repeated as a whole, with a trigger of its own: the summary of one iteration, or of one run.
type Comparison struct {
	Statistic Statistic
	// Old and New are the statistics of the replicates, OldCount and NewCount how many have one.
	Old, New           Center
	OldCount, NewCount int
	// Change is by how much new values are longer, in nanoseconds; Ratio the same as a fraction of
	// the old ones, 0.2 for 20 % longer, unknown if an old one is not above zero.
	Change, Ratio Difference
	// P is the probability of a difference at least so clear, in either direction, if nothing
	// differs; 1 if there are too few replicates.
	P float64
}

// Center is the median of the statistics of all replicates.
type Center struct {
	Value time.Duration
	// Censored says what is known of the median.
	Censored Censoring
}

// String is the median, for example 612ms or >1200ms.
func (c Center) String() string { return observed{latency: c.Value, censored: c.Censored}.String() }

// Difference is the estimate of a difference, with its interval of 95 % confidence: the median of
// the differences between each new value and each old one, and two of them between which the true
// one lies if the distributions differ in nothing but their place (Hodges and Lehmann; Hollander
// and Wolfe, section 4.2). An end that is not known, for want of replicates or because of censored
// values, is infinite; an estimate that is not known is NaN.
type Difference struct{ Value, Lower, Upper float64 }

// Compare compares a statistic of the new replicates with that of the old ones. Replicates without
// latencies are left out.
func Compare(statistic Statistic, earlier, later []Summary) Comparison {
	before, after := statistics(statistic, earlier), statistics(statistic, later)
	c := Comparison{
		Statistic: statistic, OldCount: len(before), NewCount: len(after), Old: center(before),
		New:    center(after),
		Change: difference(before, after, func(x, y float64) float64 { return y - x }), P: 1,
		Ratio: Difference{math.NaN(), math.Inf(-1), math.Inf(1)},
	}

	if allPositive(before) {
		c.Ratio = difference(before, after, func(x, y float64) float64 { return y/x - 1 })
	}

	if c.Enough() {
		greater, less := newPermutation(before, after).tails()
		c.P = min(1, 2*min(greater, less))
	}

	return c
}

// Enough reports whether there are enough replicates for a verdict.
func (c Comparison) Enough() bool { return min(c.OldCount, c.NewCount) >= MinReplicates }

// statistics are a statistic of each replicate that has one.
func statistics(statistic Statistic, replicates []Summary) []observed {
	var all []observed
	for _, one := range replicates {
		if value, ok := statistic.of(one); ok {
			all = append(all, value)
		}
	}
	return all
}

// center is the median, the lower of the two middle ones as in every quantile of this package.
func center(values []observed) Center {
	if len(values) == 0 {
		return Center{}
	}
	sorted := slices.SortedFunc(slices.Values(values), byLatency)
	middle := Summary{observed: sorted}.at((len(sorted) + 1) / 2)
	return Center{middle.latency, middle.censored}
}

func allPositive(values []observed) bool {
	return !slices.ContainsFunc(values, func(o observed) bool { return o.latency <= 0 })
}

// difference estimates how far the values lie apart, by a distance that grows with the new value.
// An old value that is only known to be longer makes the distance smaller, nobody knows by how
// much, and a new one greater.
func difference(earlier, later []observed, distance func(x, y float64) float64) Difference {
	found := Difference{math.NaN(), math.Inf(-1), math.Inf(1)}
	if len(earlier) == 0 || len(later) == 0 {
		return found
	}

	var lows, highs []float64 // of each difference, what it is at least and at most
	for _, x := range earlier {
		for _, y := range later {
			apart := distance(float64(x.latency), float64(y.latency))
			low, high := apart, apart
			if x.censored == RightCensored || y.censored == LeftCensored {
				low = math.Inf(-1)
			}
			if y.censored == RightCensored || x.censored == LeftCensored {
				high = math.Inf(1)
			}
			lows, highs = append(lows, low), append(highs, high)
		}
	}

	slices.Sort(lows)
	slices.Sort(highs)
	if low, high := middle(lows), middle(highs); low == high && !math.IsInf(low, 0) {
		found.Value = low
	}

	if k := criticalRank(len(earlier), len(later)); k >= 0 {
		found.Lower, found.Upper = lows[k], highs[len(highs)-1-k]
	}

	return found
}

// middle is the median of sorted numbers.
func middle(sorted []float64) float64 {
	n := len(sorted)
	low, high := sorted[(n-1)/2], sorted[n/2]
	if low == high {
		return low // also of two infinite ones
	}
	return low + (high-low)/2
}

// Holm adjusts probabilities of several tests, so that the fraction of all such families in which
// anything is called different without being so is no greater than the significance (Holm, A simple
// sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979).
func Holm(probabilities []float64) []float64 {
	order := make([]int, len(probabilities))
	for i := range order {
		order[i] = i
	}

	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(probabilities[a], probabilities[b])
	})

	adjusted, most := make([]float64, len(probabilities)), 0.0
	for rank, i := range order {
		most = max(most, min(1, probabilities[i]*float64(len(order)-rank)))
		adjusted[i] = most
	}

	return adjusted
}
