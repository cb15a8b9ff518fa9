// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package measure

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The tests of this file draw many worlds, in one goroutine each: the race detector would find
// nothing in them, and make them ten times as long. "make test-unit" runs them without it.

// TestCompareFalseAlarms simulates comparisons in which nothing differs, of which at most 5 in 100
// may say so, and others of a known change, which has to be in the interval and be found.
func TestCompareFalseAlarms(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 12))
	const draws = 2000
	for _, n := range []int{5, 10} {
		alarms, covered, found, coveredRatio := 0, 0, 0, 0
		for range draws {
			old, same, slower := trial(random, n, 100, 0.1), trial(random, n, 100, 0.1),
				trial(random, n, 120, 0.1)
			plain := Compare("median", old, same)
			if plain.P <= Significance {
				alarms++
			}
			c := Compare("median", old, slower)
			if c.Ratio.Lower <= 0.2 && c.Ratio.Upper >= 0.2 {
				coveredRatio++
			}
			if c.P <= Significance {
				found++
			}
			if plain.Change.Lower <= 0 && plain.Change.Upper >= 0 {
				covered++
			}
		}
		fraction := func(n int) float64 { return float64(n) / draws }
		t.Logf("%d iterations: false alarms %.3f, intervals with the truth %.3f and %.3f, "+
			"changes of 20 %% found %.3f", n,
			fraction(alarms), fraction(covered), fraction(coveredRatio), fraction(found))
		if fraction(alarms) > 0.05 || fraction(covered) < 0.945 || fraction(coveredRatio) < 0.945 ||
			fraction(found) < 0.5 {
			t.Errorf("%d iterations: false alarms %.3f, coverage %.3f and %.3f, power %.3f", n,
				fraction(alarms), fraction(covered),
				fraction(coveredRatio), fraction(found))
		}
	}
}

// TestLimitFalseAlarms simulates changes up to the limit and beyond it.
func TestLimitFalseAlarms(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(13, 14))
	limit, err := ParseLimit("median > +20%")
	if err != nil {
		t.Fatal(err)
	}
	const draws = 2000
	for _, n := range []int{5, 10} {
		for _, growth := range []float64{0, 0.1, 0.2, 0.3, 0.4} {
			alarms := 0
			for range draws {
				p, err := limit.Test(trial(random, n, 100, 0.05),
					trial(random, n, 100*(1+growth), 0.05))
				if err != nil {
					t.Fatal(err)
				}
				if p <= Significance {
					alarms++
				}
			}
			fraction := float64(alarms) / draws
			t.Logf("%d iterations, %+.0f %%: beyond +20 %% in %.3f", n, 100*growth, fraction)
			const noise = 0.0146 // three standard errors of a fraction of 0.05 of 2,000
			if growth <= 0.2 && fraction > 0.05+noise || growth == 0.4 && fraction < 0.9 {
				t.Errorf("%d iterations, %+.0f %%: beyond +20 %% in %.3f", n, 100*growth, fraction)
			}
		}
	}
}

// TestCompareFamily simulates a whole command: the medians and 99th percentiles of two scenarios,
// adjusted for being four. Who counts pairs instead of iterations calls equals different much too
// often.
func TestCompareFamily(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(15, 16))
	p := func(greater, less float64) float64 { return min(1, 2*min(greater, less)) }
	const draws = 2000
	for _, place := range []float64{100, 110} {
		found, naive := 0, 0
		for range draws {
			var family []float64
			for range 2 {
				earlier, pairsBefore := iterations(random, 10, 5, 100)
				later, pairsAfter := iterations(random, 10, 5, place)
				for _, statistic := range []Statistic{"median", "p99"} {
					family = append(family, p(newPermutation(statistics(statistic, earlier),
						statistics(statistic, later)).tails()))
				}
				if len(family) == 2 && p(newPermutation(pairsBefore,
					pairsAfter).normal()) <= Significance {
					naive++
				}
			}
			if adjusted := Holm(family); slices.Min(adjusted) <= Significance {
				found++
			}
		}
		fraction, pairs := float64(found)/draws, float64(naive)/draws
		t.Logf("%.0f ms against 100 ms: found in %.3f; by pairs of one scenario %.3f", place,
			fraction,
			pairs)
		const noise = 0.0146
		if place == 100 && (fraction > 0.05+noise || pairs < 0.2) || place > 100 && fraction < 0.9 {
			t.Errorf("%.0f ms against 100 ms: found in %.3f; by pairs %.3f", place, fraction, pairs)
		}
	}
}

// TestPermutationApproximation holds the normal distribution against the exact one where it takes
// over.
func TestPermutationApproximation(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var all []observed
	for i := range exactPermutations {
		all = append(all, observed{latency: time.Duration(random.IntN(400) + i/2),
			censored: right(random.IntN(20) == 0)})
	}
	p := newPermutation(all[:50], all[50:])
	greater, less := p.tails()
	if approximate, other := p.normal(); !near(greater, approximate, 2e-3) ||
		!near(less, other, 2e-3) {
		t.Errorf("the tails are %v and %v, approximately %v and %v", greater, less, approximate,
			other)
	}
	if g, l := newPermutation(make([]observed, 60), make([]observed, 60)).tails(); g != 1 ||
		l != 1 {
		t.Errorf("nothing but ties has tails %v and %v; want 1", g, l)
	}
	// Beyond the limit the ranks of an interval come from the normal distribution as well.
	exact, approximate := criticalRank(50, 50), criticalRank(51, 51)
	if exact < 950 || approximate < exact || approximate > exact+80 {
		t.Errorf("the cuts are %d and %d", exact, approximate)
	}
}

// TestQuantileInterval draws 10,000 data sets of each size: the interval contains the population's
// quantile in 93 to 97 of 100, or in at least 95 where so few pairs have no ranks that come closer.
func TestQuantileInterval(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{5, 20, 50, 200, 500} {
		for _, q := range []float64{0.1, 0.5, 0.9, 0.99} {
			possible := coverage(n, q)
			fraction := simulatedCoverage(random, n, q)
			t.Logf("n=%d q=%v: %.4f, by the binomial distribution %.4f", n, q, fraction, possible)
			if possible < confidence {
				t.Errorf("n=%d q=%v: the ranks hold the quantile with probability %.4f; want at "+
					"least 0.95", n, q, possible)
			}
			const noise = 0.0066 // three standard errors of a fraction of 0.95 of 10,000
			if fraction < 0.95-noise || fraction > 0.97 && fraction > possible+noise {
				t.Errorf("n=%d q=%v: the interval has the quantile in %.4f of the draws; want 0.95",
					n, q, fraction)
			}
		}
	}
}

// TestQuantileIntervalOfIterations draws 2,000 runs each: the interval contains the quantile of the
// population in 93 to 97 of 100, whether all that the pairs of an iteration have in common is their
// number or the iterations differ more than their pairs do. Who takes pairs for independent then
// has it in less than half of them.
func TestQuantileIntervalOfIterations(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(9, 10))
	tests := []struct {
		name              string
		iterations, pairs int
		between, within   float64 // the standard deviations of the logarithms
		naive             bool    // whether pairs may be taken for independent
	}{
		{"iterations differ by 5 %, pairs by 1 %", 20, 10, 0.05, 0.01, false},
		{"as much, with more pairs", 20, 20, 0.05, 0.01, false},
		{"as much, with fewer iterations", 10, 10, 0.05, 0.01, false},
		{"both differ by 1 %", 20, 10, 0.01, 0.01, false},
		{"pairs are independent", 20, 10, 0, 0.01, true},
		{"they are, in more iterations", 30, 20, 0, 0.01, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const draws, truth = 2000, 100 * time.Millisecond
			hits, naive := 0, 0
			for range draws {
				values := make([]observed, 0, test.iterations*test.pairs)
				for i := range test.iterations {
					shared := test.between * random.NormFloat64()
					for range test.pairs {
						own := math.Exp(shared + test.within*random.NormFloat64())
						values = append(values, observed{iteration: i,
							latency: time.Duration(own * float64(truth))})
					}
				}
				slices.SortFunc(values, byLatency)
				median := Summary{observed: values}.Quantile(0.5)
				if (median.UnboundedBelow || median.Lower <= truth) &&
					(median.Unbounded || truth <= median.Upper) {
					hits++
				}
				lower, upper := ranks(len(values), 0.5)
				if values[lower-1].latency <= truth && truth <= values[upper-1].latency {
					naive++
				}
			}
			fraction, pairs := float64(hits)/draws, float64(naive)/draws
			t.Logf("%.3f; if pairs were independent %.3f", fraction, pairs)
			if fraction < 0.93 || fraction > 0.97 {
				t.Errorf("the interval has the median in %.3f of the draws; want 0.95", fraction)
			}
			if pairs > 0.93 != test.naive {
				t.Errorf("who takes pairs for independent has it in %.3f of the draws", pairs)
			}
		})
	}
}

// TestQuantileOfUnknown draws latencies of which some are only known to be at most, or longer than,
// something: whatever the latencies are, no quantile contradicts them.
func TestQuantileOfUnknown(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 12))
	for range 20_000 {
		n := 1 + random.IntN(12)
		truths, samples := make([]time.Duration, n), make([]Sample, n)
		for i := range n {
			truths[i] = time.Duration(random.IntN(100)) * time.Millisecond
			apart := time.Duration(random.IntN(50)) * time.Millisecond
			switch random.IntN(4) {
			case 0:
				samples[i] = atMost(truths[i] + apart)
			case 1:
				samples[i] = timed(max(0, truths[i]-apart-1), Censored)
			default:
				samples[i] = timed(truths[i], Measured)
			}
		}
		q := random.Float64()
		truth := NewDistribution(truths).Quantile(q)
		found := Summarize("x", samples).Quantile(q)
		right := map[Censoring]bool{
			Exact: found.Value == truth, LeftCensored: truth <= found.Value,
			RightCensored: truth >= found.Value,
		}[found.Censored]
		if !right {
			t.Fatalf("quantile %v of %v is %s; want %s", q, samples, found, truth)
		}
	}
}

// TestBracketContainsTransition draws schedules, delays, rules, losses and transition instants, and
// demands that the bracket contains the instant and is as narrow as the schedule permits.
func TestBracketContainsTransition(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	decided := 0
	for range 40_000 {
		w := drawNetwork(random)
		transition := NewTransition(w.want, w.rules)
		for i := range w.sends {
			transition.Observe(w.outcome(i))
		}
		if !transition.Changed() || !transition.Change().Bracket.Bounded() {
			continue
		}
		decided++
		bracket := transition.Change().Bracket
		if !bracket.Contains(w.truth) {
			t.Fatalf("%+v: bracket %v does not contain the truth", w, bracket)
		}
		if width, most := bracket.Width(), w.widest(); width > most {
			t.Fatalf("%+v: bracket is %s wide, the schedule permits %s", w, width, most)
		}
		if _, flaps := transition.Flaps(); flaps != 0 {
			t.Fatalf("%+v: %d flaps in a network that does not flap", w, flaps)
		}
	}
	if decided < 30_000 {
		t.Errorf("only %d of 40,000 networks had a transition to evaluate", decided)
	}
}

// TestBracketContainsLastChange plays networks that take changes back before they have one that
// lasts, and lose bursts of packets: the result is the last change, whose instant its bracket
// contains, and the others are flaps.
func TestBracketContainsLastChange(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		w := drawUnsteady(random)
		transition := NewTransition(w.want, Rules{Confirm: 3, Losses: w.losses, Hold: w.hold})
		for _, outcome := range w.outcomes {
			transition.Observe(outcome)
		}
		if !transition.Settled() || !transition.Change().Bracket.Contains(w.truth) {
			t.Fatalf("settled %t, bracket %v; want %v in it, of changes at %v",
				transition.Settled(),
				transition.Change().Bracket, w.truth, w.changes)
		}
		if _, flaps := transition.Flaps(); flaps != len(w.changes)-1 {
			t.Fatalf("%d flaps; want %d, of changes at %v", flaps, len(w.changes)-1, w.changes)
		}
	}
}
