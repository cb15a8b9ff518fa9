// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// timed is a sample that was measured, or censored, after a time.
func timed(latency time.Duration, status Status) Sample {
	start := time.Unix(1000, 0)
	sample := Sample{Scenario: "x", Status: status, Start: Start{At: start}, Ended: start.Add(latency)}
	if status == Measured {
		sample.Bracket = Bracket{Lower: start.Add(latency), Upper: start.Add(latency)}
	}
	return sample
}

// TestQuantileInterval draws populations again and again: the interval contains the population's quantile at
// least as often as it says.
func TestQuantileInterval(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{5, 20, 200} {
		for _, q := range []float64{0.1, 0.5, 0.9, 0.99} {
			const draws = 2000
			hits := 0
			for range draws {
				var samples []Sample
				for range n {
					samples = append(samples, timed(time.Duration(random.Float64()*float64(time.Second)), Measured))
				}
				found := Summarize("x", samples).Quantile(q)
				truth := time.Duration(q * float64(time.Second))
				if truth >= found.Lower && (found.Open || truth <= found.Upper) {
					hits++
				}
			}
			if share := float64(hits) / draws; share < 0.94 {
				t.Errorf("n=%d q=%v: the interval has the quantile in %.3f of the draws; want 0.95", n, q, share)
			}
		}
	}
}

// TestQuantileAgrees holds quantiles without censored pairs against those of the distribution.
func TestQuantileAgrees(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var samples []Sample
		for range 1 + random.IntN(50) {
			samples = append(samples, timed(time.Duration(random.IntN(1000))*time.Millisecond, Measured))
		}
		summary, q := Summarize("x", samples), random.Float64()
		if got, want := summary.Quantile(q), summary.Latency.Quantile(q); got.Value != want || got.Longer {
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
	if got := summary.Quantile(0.5); got.Value != 5*time.Second || got.Longer {
		t.Errorf("the median is %+v; want 5s", got)
	}
	if got := summary.Quantile(0.9); got.Value != 6*time.Second || !got.Longer || !got.Open {
		t.Errorf("p90 is %+v; want longer than 6s, without a bound", got)
	}
	if got := Summarize("x", nil).Quantile(0.5); !got.Open {
		t.Errorf("the median of nothing is %+v", got)
	}
}
