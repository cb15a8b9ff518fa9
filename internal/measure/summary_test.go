// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := 100; i > 0; i-- {
		hundred = append(hundred, time.Duration(i))
	}
	tests := []struct {
		name string
		of   []time.Duration
		q    float64
		want time.Duration
	}{
		{"an empty distribution has no quantile", nil, 0.5, 0},
		{"one value is every quantile", []time.Duration{7}, 0.99, 7},
		{"the zeroth quantile is the minimum", hundred, 0, 1},
		{"the median of a hundred is the fiftieth", hundred, 0.5, 50},
		{"a rank that floating point puts a hair too high is mended", hundred, 0.07, 7},
		{"the 99th percentile of a hundred is the 99th", hundred, 0.99, 99},
		{"the first quantile is the maximum", hundred, 1, 100},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := NewDistribution(test.of).Quantile(test.q); got != test.want {
				t.Errorf("Quantile(%v) = %d; want %d", test.q, got, test.want)
			}
		})
	}
}

func TestSummarize(t *testing.T) {
	measured := func(lower, upper int) Sample {
		return Sample{
			Status:  Measured,
			Start:   Start{Source: StartWatch, At: at(0)},
			Bracket: Bracket{at(lower), at(upper)},
		}
	}
	odd := measured(100, 110)
	odd.Warnings = []string{"the clocks disagree"}
	summary := Summarize("policy-creation", []Sample{
		measured(200, 210), {Status: Censored}, odd, {Status: Deleted},
	})
	if err := summary.Account.Check(); err != nil {
		t.Error(err)
	}
	wantLatency := Distribution{105 * time.Millisecond, 205 * time.Millisecond}
	if diff := cmp.Diff(wantLatency, summary.Latency); diff != "" {
		t.Errorf("latency (-want +got):\n%s", diff)
	}
	wantWarnings := []string{
		"1 of 4 pairs censored: they enter the percentiles as longer than they were watched for",
		"1 of 4 pairs deleted: they are in no percentile",
		"1 of 4 samples: the clocks disagree",
	}
	if diff := cmp.Diff(wantWarnings, summary.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestSummarizeWarnsOfACoarseResolution(t *testing.T) {
	summary := Summarize("pod-creation", []Sample{{
		Status: Measured, Start: Start{At: at(0)}, Bracket: Bracket{at(0), at(8)},
	}})
	want := []string{"the resolution (median 8.00ms) is large compared with the latency (median " +
		"4.00ms)"}
	if diff := cmp.Diff(want, summary.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// TestSummarizeReachedAtOnce says so of pairs of which no probe saw the old state: they have an
// upper bound, and no estimate.
func TestSummarizeReachedAtOnce(t *testing.T) {
	summary := Summarize("pod-creation", []Sample{{
		Status: Measured, Start: Start{At: at(0)}, Bracket: Bracket{Upper: at(475)},
	}})
	want := []string{"1 of 1 pairs were reached by their first probe: they enter the " +
		"percentiles as at most the time that this took"}
	if diff := cmp.Diff(want, summary.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if got := summary.Quantile(0.5).String(); got != "≤475ms" || len(summary.Latency) != 0 ||
		len(summary.Resolution) != 0 {
		t.Errorf("the median is %s, with the estimates %v of the resolutions %v", got,
			summary.Latency, summary.Resolution)
	}
}

func TestAccount(t *testing.T) {
	account := Account{Expected: 2}
	account.End(Measured)
	if err := account.Check(); err == nil {
		t.Error("Check() = nil with a pair unaccounted for")
	}
	account.End(Invalid)
	if err := account.Check(); err != nil {
		t.Errorf("Check() = %v with both pairs ended", err)
	}
	if account.AllMeasured() {
		t.Error("AllMeasured() = true with an invalid pair")
	}
	want := "2 expected, 1 measured, 0 censored, 1 invalid, 0 deleted, 0 unobserved"
	if got := account.String(); got != want {
		t.Errorf("String() = %q; want %q", got, want)
	}
	account.End(Measured)
	if err := account.Check(); err == nil {
		t.Error("Check() = nil with a pair that ended twice")
	}
}
