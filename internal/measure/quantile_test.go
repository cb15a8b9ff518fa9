// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
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
