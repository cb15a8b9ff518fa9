// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// timed is a sample that was measured, or censored, after a time.
func timed(latency time.Duration, status Status) Sample {
	start := time.Unix(1000, 0)
	sample := Sample{Scenario: "x", Status: status, Start: Start{At: start},
		Ended: start.Add(latency)}
	if status == Measured {
		sample.Bracket = Bracket{Lower: start.Add(latency), Upper: start.Add(latency)}
	}
	return sample
}

// TestQuantileInterval draws 10,000 data sets of each size: the interval contains the population's
// quantile in 93 to 97 of 100, or in at least 95 where so few pairs have no ranks that come closer.
func TestQuantileInterval(t *testing.T) {
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

// coverage is how often the ranks contain the quantile: at least lower and fewer than upper pairs
// are below it.
func coverage(n int, q float64) float64 {
	lower, upper := ranks(n, q)
	sum := 0.0
	for k := lower; k < upper; k++ {
		sum += binomial(n, k, q)
	}
	return sum
}

// simulatedCoverage draws values of a uniform distribution in their order: the partial sums of
// exponential ones, as fractions of the whole.
func simulatedCoverage(random *rand.Rand, n int, q float64) float64 {
	const draws = 10_000
	hits := 0
	values, sums := make([]observed, n), make([]float64, n)
	for range draws {
		sum := 0.0
		for i := range sums {
			sum += random.ExpFloat64()
			sums[i] = sum
		}
		sum += random.ExpFloat64()
		for i := range values {
			values[i].iteration = i
			values[i].latency = time.Duration(sums[i] / sum * float64(time.Second))
		}
		found := Summary{observed: values}.Quantile(q)
		truth := time.Duration(q * float64(time.Second))
		if (found.UnboundedBelow || truth >= found.Lower) &&
			(found.Unbounded || truth <= found.Upper) {
			hits++
		}
	}
	return float64(hits) / draws
}

// TestQuantileIntervalOfIterations draws 2,000 runs each: the interval contains the quantile of the
// population in 93 to 97 of 100, whether all that the pairs of an iteration have in common is their
// number or the iterations differ more than their pairs do. Who takes pairs for independent then
// has it in less than half of them.
func TestQuantileIntervalOfIterations(t *testing.T) {
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

// TestFewIterations has no interval where so few triggers do not tell how much they differ.
func TestFewIterations(t *testing.T) {
	for iterations := 1; iterations <= 6; iterations++ {
		var samples []Sample
		for i := range 120 {
			one := timed(time.Duration(i)*time.Millisecond, Measured)
			one.Iteration = 1 + i%iterations
			samples = append(samples, one)
		}
		median := Summarize("x", samples).Quantile(0.5)
		if few := iterations < MinReplicates; median.Unbounded != few ||
			median.UnboundedBelow != few {
			t.Errorf("the median of %d iterations is %+v", iterations, median)
		}
	}
}

// TestQuantileAgrees holds quantiles without censored pairs against those of the distribution.
func TestQuantileAgrees(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var samples []Sample
		for range 1 + random.IntN(50) {
			samples = append(samples, timed(time.Duration(random.IntN(1000))*time.Millisecond,
				Measured))
		}
		summary, q := Summarize("x", samples), random.Float64()
		if got, want := summary.Quantile(q), summary.Latency.Quantile(q); got.Value != want ||
			got.Censored != Exact {
			t.Fatalf("quantile %v of %d samples is %v; want %v", q, len(samples), got, want)
		}
	}
}

// TestQuantileCensored has ten pairs, of which the sixth was given up: what comes before is known.
func TestQuantileCensored(t *testing.T) {
	var samples []Sample
	for i := range 10 {
		samples = append(samples, timed(time.Duration(i+1)*time.Second, Measured))
	}
	samples[5].Status = Censored
	summary := Summarize("x", slices.Clone(samples))
	if got := summary.Quantile(0.5); got.Value != 5*time.Second || got.Censored != Exact {
		t.Errorf("the median is %+v; want 5s", got)
	}
	if got := summary.Quantile(0.9); got.Value != 6*time.Second ||
		got.Censored != RightCensored || !got.Unbounded {
		t.Errorf("p90 is %+v; want longer than 6s, without a bound", got)
	}
	if got := Summarize("x", nil).Quantile(0.5); !got.Unbounded {
		t.Errorf("the median of nothing is %+v", got)
	}
}

// atMost is a pair that was reached by its first probe.
func atMost(latency time.Duration) Sample {
	sample := timed(latency, Measured)
	sample.Bracket.Lower = time.Time{}
	return sample
}

// TestQuantileLeftCensored has pairs that were reached by their first probe: a quantile that one of
// them may be is at most what it is if they took all of that time.
func TestQuantileLeftCensored(t *testing.T) {
	const second = time.Second
	exact := func(n int) Sample { return timed(time.Duration(n)*second, Measured) }
	tests := []struct {
		name    string
		samples []Sample
		want    string // of the quantiles 0, 0.25, 0.5, 0.75 and 1
	}{
		{"the greatest is known beside an earlier one",
			[]Sample{atMost(second), exact(2), exact(3), exact(4)},
			"≤1000ms ≤1000ms 2000ms 3000ms 4000ms"},
		{"one may be anywhere before its time",
			[]Sample{exact(2), exact(3), exact(4), atMost(5 * second)},
			"≤2000ms ≤2000ms ≤3000ms ≤4000ms ≤5000ms"},
		{"what comes after it is known again",
			[]Sample{exact(2), atMost(3 * second), exact(4), exact(5)},
			"≤2000ms ≤2000ms ≤3000ms 4000ms 5000ms"},
		{"all of them", []Sample{atMost(second), atMost(2 * second)},
			"≤1000ms ≤1000ms ≤1000ms ≤2000ms ≤2000ms"},
		{"one that did not change makes what follows longer",
			[]Sample{atMost(2 * second), exact(3), timed(4*second, Censored), exact(5)},
			"≤2000ms ≤2000ms 3000ms >4000ms >4000ms"},
		{"it is not known which is longer",
			[]Sample{timed(second, Censored), atMost(3 * second)},
			"≤3000ms ≤3000ms ≤3000ms >1000ms >1000ms"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			summary := Summarize("x", test.samples)
			var got []string
			for _, q := range []float64{0, 0.25, 0.5, 0.75, 1} {
				got = append(got, summary.Quantile(q).String())
			}
			if all := strings.Join(got, " "); all != test.want {
				t.Errorf("the quantiles are %s; want %s", all, test.want)
			}
		})
	}
}

// TestQuantileOfUnknown draws latencies of which some are only known to be at most, or longer than,
// something: whatever the latencies are, no quantile contradicts them.
func TestQuantileOfUnknown(t *testing.T) {
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

// TestQuantileBelowZero has latencies below zero, of which there are too few for an interval: no
// lower end may stand above them.
func TestQuantileBelowZero(t *testing.T) {
	samples := []Sample{timed(-3*time.Millisecond, Measured), timed(-2*time.Millisecond, Measured)}
	got := Summarize("x", samples).Quantile(0.5)
	if !got.UnboundedBelow || !got.Unbounded {
		t.Errorf("the median of two is %+v; want no bounds", got)
	}
	if all := Summarize("x", nil).Quantile(0.5); !all.UnboundedBelow {
		t.Errorf("the median of nothing is %+v; want no bounds", all)
	}
}

// TestRanks holds ranks against tables, and those that reach no end against the sizes that they
// take.
func TestRanks(t *testing.T) {
	tests := []struct {
		name         string
		n            int
		q            float64
		lower, upper int
	}{
		{"five have no interval for their median", 5, 0.5, 0, 6},
		{"six have, from the least to the greatest", 6, 0.5, 1, 6},
		{"ten leave out the outermost", 10, 0.5, 2, 9},
		{"a hundred", 100, 0.5, 40, 61},
		{"71 are too few for an upper end of p95", 71, 0.95, 63, 72},
		{"72 are enough", 72, 0.95, 64, 72},
		{"nothing is known above the greatest", 20, 1, 20, 21},
		{"nothing is known below the least", 20, 0, 0, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if lower, upper := ranks(test.n, test.q); lower != test.lower || upper != test.upper {
				t.Errorf("ranks(%d, %v) = %d, %d; want %d, %d", test.n, test.q, lower, upper,
					test.lower, test.upper)
			}
		})
	}
}

// TestMean counts a censored pair with the time that it was watched for, and says so.
func TestMean(t *testing.T) {
	samples := []Sample{timed(time.Second, Measured), timed(2*time.Second, Measured)}
	if mean, censored := Summarize("x", samples).Mean(); mean != 1500*time.Millisecond ||
		censored != Exact {
		t.Errorf("the mean is %s, censored %v; want 1.5s", mean, censored)
	}
	samples = append(samples, timed(6*time.Second, Censored))
	if mean, censored := Summarize("x", samples).Mean(); mean != 3*time.Second ||
		censored != RightCensored {
		t.Errorf("the mean is %s, censored %v; want longer than 3s", mean, censored)
	}
	reached := []Sample{timed(2*time.Second, Measured), atMost(time.Second)}
	if mean, censored := Summarize("x", reached).Mean(); mean != 1500*time.Millisecond ||
		censored != LeftCensored {
		t.Errorf("the mean is %s, censored %v; want at most 1.5s", mean, censored)
	}
	reached = append(reached, timed(7*time.Second, Censored))
	if mean, censored := Summarize("x", reached).Mean(); mean != 3*time.Second ||
		censored != RightCensored {
		t.Errorf("the mean is %s, censored %v; want longer than 3s", mean, censored)
	}
	if mean, censored := Summarize("x", nil).Mean(); mean != 0 || censored != Exact {
		t.Errorf("the mean of nothing is %s, censored %v; want 0s", mean, censored)
	}
}

func TestQuantileString(t *testing.T) {
	for want, of := range map[string]Quantile{
		"1200ms":  {Value: 1200 * time.Millisecond},
		">1200ms": {Value: 1200*time.Millisecond + 100, Censored: RightCensored},
	} {
		if got := of.String(); got != want {
			t.Errorf("String() = %q; want %q", got, want)
		}
	}
}
