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

// replicates are summaries of one pair each.
func replicates(of []observed) []Summary {
	var all []Summary
	for _, one := range of {
		all = append(all, Summary{observed: []observed{one}})
	}
	return all
}

// TestComparePublished is the example of Hollander and Wolfe (1973), page 75: the estimate of the
// difference is 0.305.
func TestComparePublished(t *testing.T) {
	old := values(1.15, 0.88, 0.90, 0.74, 1.21)
	later := values(0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46)
	c := Compare("median", replicates(old), replicates(later))
	if !near(c.Change.Value, 305, 1e-9) || !near(c.P, 0.2544, 5e-5) {
		t.Errorf("the change is %+v with p %.4f; want 0.305 and 0.2544", c.Change, c.P)
	}
	if !near(c.Change.Lower, -150, 1) || !near(c.Change.Upper, 760, 1) {
		t.Errorf("the interval is %+v; want -0.15 to 0.76", c.Change)
	}
}

// TestCompareFew has too few replicates for a verdict, and none.
func TestCompareFew(t *testing.T) {
	c := Compare("p99", replicates(values(1, 2, 3, 4)), replicates(values(11, 12, 13, 14, 15)))
	if c.Enough() || c.P != 1 || !near(c.Change.Value, 10500, 1e-9) {
		t.Errorf("four against five are %+v", c)
	}
	c = Compare("p99", nil, replicates(values(1)))
	if c.OldCount != 0 || c.NewCount != 1 || !math.IsNaN(c.Change.Value) {
		t.Errorf("nothing against one is %+v", c)
	}
}

// TestCompareCensored does not make more of values that are only known to be longer than is known.
func TestCompareCensored(t *testing.T) {
	c := Compare("median", replicates(values(1, 2, 3, 4, 5, 6)),
		replicates(values(-9, -9, -9, -9, -9, -9)))
	if !math.IsNaN(c.Change.Value) || c.Change.Lower < 3000 || !math.IsInf(c.Change.Upper, 1) ||
		c.P > 0.01 {
		t.Errorf("all new ones censored: %+v", c)
	}
	wantOld, wantNew := Center{Value: 3 * time.Microsecond},
		Center{Value: 9 * time.Microsecond, Censored: RightCensored}
	if c.Old != wantOld || c.New != wantNew {
		t.Errorf("the medians are %s and %s", c.Old, c.New)
	}
	c = Compare("median", replicates(values(-9, -9, -9, -9, -9, -9)),
		replicates(values(-9, -9, -9, -9, -9, -9)))
	if c.P != 1 || !math.IsInf(c.Change.Lower, -1) || !math.IsInf(c.Change.Upper, 1) {
		t.Errorf("all censored: %+v", c)
	}
	var reached []observed
	for range 6 {
		reached = append(reached, observed{latency: 9, censored: LeftCensored})
	}
	c = Compare("median", replicates(values(1, 2, 3, 4, 5, 6)), replicates(reached))
	if !math.IsNaN(c.Change.Value) || !math.IsInf(c.Change.Lower, -1) || c.Change.Upper > 0 ||
		c.P > 0.01 || c.New.String() != "≤0.00ms" {
		t.Errorf("all new ones reached at once: %+v", c)
	}
	zero := Compare("median", replicates(values(0, 1, 1, 1, 1)), replicates(values(2, 2, 2, 2, 2)))
	if !math.IsNaN(zero.Ratio.Value) {
		t.Errorf("the ratio to zero is %v", zero.Ratio)
	}
}

// trial draws replicates: the medians and maxima of iterations, lognormal about a place.
func trial(random *rand.Rand, n int, place, spread float64) []Summary {
	var all []observed
	for range n {
		all = append(all,
			observed{latency: time.Duration(place * math.Exp(spread*random.NormFloat64()) * 1e6)})
	}
	return replicates(all)
}

// TestParseLimit reads limits, and says what is wrong with others.
func TestParseLimit(t *testing.T) {
	old, later := replicates(values(100, 101, 102, 103, 104)),
		replicates(values(125, 126, 127, 128, 129))
	for text, beyond := range map[string]bool{
		"p99 > +20%": true, "median>+25%": false, "policy-deny.mean > +20us": true,
		"max > 1ms": false, "p99.9>0%": true,
	} {
		limit, err := ParseLimit(text)
		if err != nil {
			t.Error(err)
			continue
		}
		p, err := limit.Test(old, later)
		if err != nil || beyond != (p <= Significance) ||
			beyond != limit.Beyond(Compare(limit.Statistic(), old, later)) {
			t.Errorf("%s: p is %v, %v; want beyond: %v", text, p, err, beyond)
		}
	}
	for text, want := range map[string]string{
		"": "expected [SCENARIO.]STATISTIC", "p99 < +5%": "expected [SCENARIO.]STATISTIC",
		"p101 > +5%": `unknown statistic "p101"`,
		"p99 > +5":   "neither a percentage nor a duration",
		"p99 > +x%":  "expected [SCENARIO.]STATISTIC", "p99 > -5%": "expected [SCENARIO.]",
		"p99 > 1.2.3%": "is no percentage",
	} {
		if _, err := ParseLimit(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseLimit(%q) = %v; want %q", text, err, want)
		}
	}
}

// TestLimitUndecidable has limits about what cannot be compared.
func TestLimitUndecidable(t *testing.T) {
	limit, err := ParseLimit("policy-update.p99 > +20%")
	if err != nil {
		t.Fatal(err)
	}
	if !limit.About("policy-update/port/close") || limit.About("policy-updates") {
		t.Error("the limit is about the wrong scenarios")
	}
	few, zero := replicates(values(1, 2, 3, 4)), replicates(values(0, 1, 2, 3, 4))
	if _, err := limit.Test(few, zero); err == nil || !strings.Contains(err.Error(), "at least 5") {
		t.Errorf("four replicates: %v", err)
	}
	if _, err := limit.Test(zero, zero); err == nil || !strings.Contains(err.Error(),
		"not above zero") {
		t.Errorf("a percentage of zero: %v", err)
	}
}

// TestHolm is the example of five probabilities, each beside its adjusted one by hand.
func TestHolm(t *testing.T) {
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005, 0.9})
	for i, want := range []float64{0.04, 0.09, 0.09, 0.025, 0.9} {
		if !near(got[i], want, 1e-12) {
			t.Errorf("probability %d is adjusted to %v; want %v", i, got[i], want)
		}
	}
}

// iterations draws iterations of pairs that share what their trigger met: the delay of a iteration
// varies by 5 %, and that of a pair within it by 1 %. Two of a hundred pairs are given up at 150
// ms.
func iterations(random *rand.Rand, n, pairs int, place float64) (all []Summary, each []observed) {
	for range n {
		shared := place * math.Exp(0.05*random.NormFloat64())
		var one []observed
		for range pairs {
			own := shared * math.Exp(0.01*random.NormFloat64())
			latency := observed{latency: time.Duration(own * 1e6)}
			if random.IntN(50) == 0 {
				latency = observed{latency: 150 * time.Millisecond, censored: RightCensored}
			}
			one = append(one, latency)
		}
		each = append(each, one...)
		slices.SortFunc(one, byLatency)
		all = append(all, Summary{observed: one})
	}
	return all, each
}
