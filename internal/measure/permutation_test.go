// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// values are observations in units of a microsecond; below zero, what is only known to be longer
// than the rest.
func values(of ...float64) []observed {
	var all []observed
	for _, one := range of {
		all = append(all, observed{latency: time.Duration(math.Abs(one) * 1000),
			censored: right(one < 0)})
	}
	return all
}

func near(a, b, by float64) bool { return math.Abs(a-b) <= by }

// right is whether a value is only known to be longer.
func right(is bool) Censoring {
	if is {
		return RightCensored
	}
	return Exact
}

// TestPermutationPublished holds the test against published results.
func TestPermutationPublished(t *testing.T) {
	tests := []struct {
		name          string
		old, new      []observed
		greater, less float64
	}{
		{
			// Hollander and Wolfe (1973), page 69, permeability of the human chorioamnion at term
			// and at 12 to 26 weeks, as the documentation of R's wilcox.test has it: W = 35, p =
			// 0.1272.
			"Hollander and Wolfe", values(1.15, 0.88, 0.90, 0.74, 1.21),
			values(0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46), 0.1272, 0.8968,
		},
		{
			// The documentation of scipy.stats.mannwhitneyu: ages of males and females at a
			// diagnosis, two-sided 0.1111.
			"scipy", values(20, 11, 17, 12), values(19, 22, 16, 29, 24), 0.1111 / 2, 0.9683,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			greater, less := newPermutation(test.old, test.new).tails()
			if !near(greater, test.greater, 5e-5) || !near(less, test.less, 5e-5) {
				t.Errorf("the tails are %.5f and %.5f; want %.4f and %.4f", greater, less,
					test.greater, test.less)
			}
		})
	}
}

// leukaemia are the weeks of remission in the trial of 6-mercaptopurine against a placebo
// (Freireich and others, Blood 21, 1963), on which Gehan's paper shows the test.
func leukaemia() (placebo, treated []observed) {
	return values(1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23),
		values(6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34,
			-35)
}

// TestPermutationCensored is Gehan's example, with his statistic of 271.
func TestPermutationCensored(t *testing.T) {
	p := newPermutation(leukaemia())
	if got := p.statistic(); got != 271 {
		t.Errorf("the statistic is %d; want 271", got)
	}
	greater, _ := p.tails()
	approximate, _ := p.normal()
	if greater > 0.001 || !near(greater, approximate, 1e-4) {
		t.Errorf("the tail is %.6f, approximately %.6f; want less than 0.001", greater, approximate)
	}
}

// TestPermutationByHand lists all choices of a small case with ties and censored values.
func TestPermutationByHand(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var all []observed
		for range 9 {
			all = append(all, observed{latency: time.Duration(random.IntN(5)),
				censored: right(random.IntN(4) == 0)})
		}
		p := newPermutation(all[:4], all[4:])
		more, same, choices := 0, 0, 0
		for chosen := range 1 << 9 {
			sum, count := 0, 0
			for i, score := range p.scores {
				if chosen>>i&1 == 1 {
					sum, count = sum+score, count+1
				}
			}
			if count != 5 {
				continue
			}
			choices++
			if sum > p.statistic() {
				more++
			}
			if sum == p.statistic() {
				same++
			}
		}
		greater, less := p.tails()
		if !near(greater, float64(more+same)/float64(choices), 1e-12) ||
			!near(less, float64(choices-more)/float64(choices), 1e-12) {
			t.Fatalf("the tails of %v are %v and %v; want %d and %d of %d", all, greater, less,
				more+same, choices-more, choices)
		}
	}
}

// TestCriticalRank holds the number of differences that are left out against the tables of critical
// values of the Mann-Whitney statistic (two-sided, 5 %).
func TestCriticalRank(t *testing.T) {
	for _, test := range []struct{ m, n, critical int }{
		{3, 3, -1}, {4, 4, 0}, {5, 5, 2}, {5, 8, 6}, {10, 10, 23}, {8, 12, 22}, {20, 20, 127},
	} {
		if got := criticalRank(test.m, test.n); got != test.critical {
			t.Errorf("criticalRank(%d, %d) = %d; want %d", test.m, test.n, got, test.critical)
		}
	}
}
