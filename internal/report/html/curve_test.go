// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

func TestCurve(t *testing.T) {
	got := newCurve("all", []measure.Sample{sampleAt(1, 10, 14), sampleAt(2, 10, 12),
		sampleAt(3, 90, 110), censoredAt(4, 50)})
	want := curve{
		Name: "all", Pairs: 4,
		// The third pair's estimate, 100 ms, is beyond the first censored pair.
		Estimate: []point{{11, 0.25}, {12, 0.5}},
		Early:    []point{{10, 0.5}, {50, 0.75}, {90, 1}},
		Late:     []point{{12, 0.25}, {14, 0.5}, {110, 0.75}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("newCurve() (-want +got):\n%s", diff)
	}
}

// at is the fraction that steps have reached by a time.
func at(steps []point, time float64) float64 {
	fraction := 0.0
	for _, one := range steps {
		if one[0] <= time {
			fraction = one[1]
		}
	}
	return fraction
}

// The band must contain the distribution of the true latencies wherever they are in their brackets,
// and thinning must not show: no step is more than a thousandth off.
func TestBandContainsTheTruth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n = 12_345
	var samples []measure.Sample
	truths := make([]float64, n)
	for i := range n {
		truth := 10 + 100*random.ExpFloat64()
		lower, upper := truth-5*random.Float64(), truth+5*random.Float64()
		truths[i] = truth
		samples = append(samples, sampleAt(i, lower, upper))
	}
	c := newCurve("all", samples)
	if len(c.Early) > mostPoints+1 || len(c.Late) > mostPoints+1 {
		t.Errorf("the curves have %d and %d points; want at most %d", len(c.Early), len(c.Late),
			mostPoints)
	}
	for time := 0.0; time < 700; time += 3.7 {
		below := 0
		for _, truth := range truths {
			if truth <= time {
				below++
			}
		}
		fraction := float64(below) / n
		if early, late := at(c.Early, time), at(c.Late, time); fraction > early+0.0011 ||
			fraction < late-0.0011 {
			t.Errorf("after %.1f ms %.4f had changed; the band is %.4f to %.4f", time, fraction,
				late,
				early)
		}
	}
}
