// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"math"
	"slices"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// curve is the empirical distribution of the latencies of some pairs: the fraction of pairs that
// had changed, over time.
//
// What is known of each pair is an interval: the bracket of its latency, or, of a censored pair,
// from when it was given up to infinity. Estimate is the distribution of the middles. The band
// between Early, of the lower ends, and Late, of the upper ends, contains the distribution of the
// true latencies, whatever they are within their intervals.
type curve struct {
	Name  string `json:"name"`
	Pairs int    `json:"pairs"`
	// Estimate ends where the first censored pair was given up: from there on the order is not
	// known.
	Estimate []point `json:"estimate"`
	Early    []point `json:"early"`
	Late     []point `json:"late"`
}

// point says that from a time on, in milliseconds, the fraction of pairs that had changed was so
// much.
type point [2]float64

// mostPoints is how many points a curve has at most. A step between two of them is less than a
// pixel.
const mostPoints = 1000

func newCurve(name string, samples []measure.Sample) curve {
	var middles, lowers, uppers []time.Duration
	known := time.Duration(math.MaxInt64)
	for _, sample := range samples {
		observed, censored, ok := sample.Observed()
		switch {
		case !ok:
		case censored == measure.RightCensored:
			lowers, known = append(lowers, observed), min(known, observed)
		default:
			latency := sample.Latency()
			middles = append(middles, observed)
			lowers, uppers = append(lowers, latency.Lower), append(uppers, latency.Upper)
		}
	}

	pairs := len(lowers)
	return curve{
		Name: name, Pairs: pairs, Early: steps(lowers, pairs), Late: steps(uppers, pairs),
		Estimate: steps(slices.DeleteFunc(middles, func(d time.Duration) bool {
			return d > known
		}), pairs),
	}
}

// steps are the points at which the fraction of some number of pairs rises, thinned.
func steps(durations []time.Duration, of int) []point {
	sorted := measure.NewDistribution(durations)
	stride := max(1, (len(sorted)+mostPoints-1)/mostPoints)
	all := []point{}
	for i, d := range sorted {
		last := i == len(sorted)-1
		if !last && sorted[i+1] == d || !last && i%stride != 0 {
			continue
		}
		all = append(all, point{float64(milliseconds(d)),
			math.Round(float64(i+1)/float64(of)*1e6) / 1e6})
	}
	return all
}
