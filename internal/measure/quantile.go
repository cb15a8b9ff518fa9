// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Quantile is a quantile of the latencies of all pairs that count, with the interval that contains
// the quantile of the whole population with 95 % confidence.
type Quantile struct {
	// Value is the quantile, or what it is known to be longer than, or at most.
	Value    time.Duration
	Censored Censoring
	// Lower and Upper are the interval. Without a bound above, because there are too few pairs or
	// because the bound is that of a censored one, Unbounded is true and Upper zero. Without a
	// bound below, because there are too few pairs, UnboundedBelow is true and Lower zero, which
	// need not be below a latency.
	Lower, Upper              time.Duration
	Unbounded, UnboundedBelow bool
}

// String is the quantile without its interval, for example 612ms or >1200ms.
func (q Quantile) String() string {
	return observed{latency: q.Value, censored: q.Censored}.String()
}

// Censoring says what is known of a latency.
type Censoring uint8

// What is known of a latency, a closed enumeration.
const (
	// Exact: the latency itself.
	Exact Censoring = iota
	// RightCensored: that it is longer than the time for which the pair was watched.
	RightCensored
	// LeftCensored: that it is at most the time after which the first probe was answered.
	LeftCensored
)

// String is the sign before a duration of which no more is known.
func (c Censoring) String() string { return [...]string{"", ">", "≤"}[min(int(c), 2)] }

// confidence is how often an interval contains its quantile at least.
const confidence = 0.95

// observed is what is known of one pair's latency.
type observed struct {
	latency  time.Duration
	censored Censoring
	// iteration is the number of the trigger.
	iteration int
}

func (o observed) String() string {
	return o.censored.String() + FormatDuration(o.latency)
}

// observe enters what is known of the latencies of pairs, in ascending order.
func observe(samples []Sample) []observed {
	var all []observed
	for _, sample := range samples {
		if latency, censored, ok := sample.Observed(); ok {
			all = append(all, observed{latency: latency, censored: censored,
				iteration: sample.Iteration})
		}
	}
	slices.SortFunc(all, byLatency)
	return all
}

// byLatency orders observations by what they are known to exceed: first those of which it is not
// known to exceed anything. Of two with the same latency, the one that is longer than it is the
// longer one.
func byLatency(a, b observed) int {
	if left := a.censored == LeftCensored; left != (b.censored == LeftCensored) {
		if left {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.latency, b.latency), cmp.Compare(a.censored, b.censored))
}

// Quantile is the quantile of rank q, from 0 to 1, by nearest rank. It is exact as long as no pair
// before it is censored; from the first censored one on, the order is not known, and every quantile
// is longer than that pair was watched for. The usual estimators, such as that of Kaplan and Meier,
// would tell more, but assume that pairs are given up for reasons that have nothing to do with
// their latency, and here they are given up for being slow. What is said here holds whatever the
// reason. A pair whose first probe was answered has a latency of at most that time, so that a
// quantile which it may be part of is at most the latency that it is if the pair has all of it.
//
// The interval is that of the order statistics whose ranks contain the quantile's with binomial
// probability, for any distribution (David and Nagaraja, Order Statistics, section 7.1), of as many
// pairs as are independent: pairs of one iteration share its trigger.
func (s Summary) Quantile(q float64) Quantile {
	n := len(s.observed)
	if n == 0 {
		return Quantile{Unbounded: true, UnboundedBelow: true}
	}

	at := s.at(min(max(int(math.Ceil(q*float64(n)-1e-9)), 1), n))
	independent := s.independent()
	lower, upper := ranks(independent, q)
	// Each of the independent pairs stands for several: the rank is in the middle of these.
	each := float64(n) / float64(max(independent, 1))
	rank := func(of int) int { return int(math.Round((float64(of)-0.5)*each + 0.5)) }
	estimate := Quantile{Value: at.latency, Censored: at.censored, Unbounded: true,
		UnboundedBelow: true}
	if lower > 0 {
		// What comes first in this order need not be exact to bound the quantile from below.
		least := s.observed[rank(lower)-1]
		if end := s.at(rank(lower)); end.censored == RightCensored {
			least = end
		}
		if least.censored != LeftCensored {
			estimate.Lower, estimate.UnboundedBelow = least.latency, false
		}
	}

	if upper <= independent {
		if end := s.at(rank(upper)); end.censored != RightCensored {
			estimate.Upper, estimate.Unbounded = end.latency, false
		}
	}

	return estimate
}

// Mean is the mean of the latencies of all pairs that count, zero without any. With a pair that did
// not change, which counts with the time that it was watched for, the mean is only known to be
// longer; else with one whose first probe was answered, which counts with that time, to be at most
// so much. If there are both, the latter are not before their start.
func (s Summary) Mean() (mean time.Duration, censored Censoring) {
	if len(s.observed) == 0 {
		return 0, Exact
	}

	sum, most := 0.0, 0.0 // many long durations exceed 64 bits
	for _, one := range s.observed {
		switch one.censored {
		case LeftCensored:
			most += float64(one.latency)
			continue
		case RightCensored:
			censored = RightCensored
		}
		sum += float64(one.latency)
	}

	if censored == Exact && s.observed[0].censored == LeftCensored {
		sum, censored = sum+most, LeftCensored
	}

	return time.Duration(sum / float64(len(s.observed))), censored
}

// at is the observation of a rank from 1 on, as far as it is known.
func (s Summary) at(rank int) observed {
	for _, one := range s.observed[:rank] {
		if one.censored == RightCensored {
			return one
		}
	}
	least := s.observed[rank-1]
	if s.observed[0].censored != LeftCensored {
		return least
	}

	var most []time.Duration
	for _, one := range s.observed {
		if one.censored != RightCensored {
			most = append(most, one.latency)
		}
	}
	slices.Sort(most)
	if least.censored == Exact && least.latency == most[rank-1] {
		return least
	}
	return observed{latency: most[rank-1], censored: LeftCensored}
}

// independent is how many pairs that are independent would tell as much about a quantile as these
// do: their number over the design effect (Kish, Survey Sampling, section 5.4), 1 + (k-1) r with k
// pairs in an iteration. r, the correlation of two pairs of an iteration, is that of their ranks,
// as the analysis of variance estimates it. What counts for a quantile is the correlation of being
// below it, which is greatest for the median; it follows from that of the ranks where latencies are
// normal after some transformation (Kruskal, Ordinal measures of association, Journal of the
// American Statistical Association 53, 1958). Fewer than [MinReplicates] iterations do not tell how
// much iterations differ: then it is zero.
func (s Summary) independent() int {
	last := 0
	for _, one := range s.observed {
		last = max(last, one.iteration)
	}
	total, count, squares := make([]float64, last+1), make([]float64, last+1), 0.0
	n := float64(len(s.observed))
	for from, to := 0, 0; from < len(s.observed); from = to {
		for to < len(s.observed) && s.observed[to].latency == s.observed[from].latency {
			to++
		}
		rank := float64(from+to) / 2 // of all that are tied
		for _, one := range s.observed[from:to] {
			total[one.iteration] += rank
			count[one.iteration]++
			squares += rank * rank
		}
	}

	iterations, sum, between, counts := 0.0, 0.0, 0.0, 0.0
	for iteration, k := range count {
		if k == 0 {
			continue
		}
		iterations++
		sum += total[iteration]
		between += total[iteration] * total[iteration] / k
		counts += k * k
	}
	switch {
	case iterations < MinReplicates:
		return 0
	case iterations == n:
		return len(s.observed)
	}

	within := (squares - between) / (n - iterations)
	between = (between - sum*sum/n) / (iterations - 1)
	pairs := (n - counts/n) / (iterations - 1) // of an iteration, if they are not all of one size
	if between <= within {
		return len(s.observed)
	}
	ranked := (between - within) / (between + (pairs-1)*within)
	correlation := 2 / math.Pi * math.Asin(2*math.Sin(math.Pi/6*ranked))
	return int(math.Round(n / (1 + (counts/n-1)*correlation)))
}

// ranks are the narrowest ranks, centred in probability, between which the quantile q of a
// population lies with the confidence; 0 and n+1 are none.
func ranks(n int, q float64) (lower, upper int) {
	const tail = (1 - confidence) / 2
	sum := 0.0
	lower, upper = 0, n+1
	for k := 0; k <= n; k++ {
		p := binomial(n, k, q)
		if sum+p <= tail {
			lower = k + 1 // at most k of n are below with no more than the tail's probability
		}
		sum += p
		if sum >= 1-tail {
			upper = min(upper, k+1)
		}
	}

	return lower, upper
}

// binomial is the probability of k successes in n trials.
func binomial(n, k int, q float64) float64 {
	switch {
	case q <= 0:
		return map[bool]float64{true: 1}[k == 0]
	case q >= 1:
		return map[bool]float64{true: 1}[k == n]
	}
	choose := logGamma(n+1) - logGamma(k+1) - logGamma(n-k+1)
	return math.Exp(choose + float64(k)*math.Log(q) + float64(n-k)*math.Log1p(-q))
}

func logGamma(n int) float64 {
	value, _ := math.Lgamma(float64(n))
	return value
}
