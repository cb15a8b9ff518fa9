// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "math"

// exactPermutations is up to how many values the permutation distribution is counted; beyond that
// its normal approximation differs from it by less than matters.
const exactPermutations = 100

// permutation is the two-sample test of whether the values of one side tend to be greater than
// those of the other: that of Wilcoxon, Mann and Whitney. Values of which it is not known which is
// greater, because they are tied or one of them is only known to be longer than something, count as
// neither, which makes it the test of Gehan (A generalized Wilcoxon test for comparing arbitrarily
// singly-censored samples, Biometrika 52, 1965) as Mantel computes it (Ranking procedures for
// arbitrarily restricted observations, Biometrics 23, 1967).
//
// Each value scores +1 for each other that it exceeds and -1 for each that exceeds it. If both
// sides come from one distribution, each choice of which of the values are new is as likely as any
// other, given the values: so the probabilities are exact, whatever the distribution, the ties and
// the fraction that is censored.
type permutation struct {
	scores []int // of all values, the new ones last
	later  int
}

func newPermutation(earlier, later []observed) permutation {
	all := append(append([]observed{}, earlier...), later...)
	p := permutation{scores: make([]int, len(all)), later: len(later)}
	for i, one := range all {
		for _, other := range all {
			p.scores[i] += one.order(other)
		}
	}
	return p
}

// order is 1 if the value is known to exceed the other, -1 if the other is known to exceed it, else
// 0.
func (o observed) order(other observed) int {
	return o.exceeds(other) - other.exceeds(o)
}

// exceeds is 1 if the value is known to exceed the other, else 0.
func (o observed) exceeds(other observed) int {
	known := o.censored != LeftCensored && other.censored != RightCensored
	if known && (o.latency > other.latency ||
		o.latency == other.latency && o.censored == RightCensored) {
		return 1
	}
	return 0
}

// LeastProbability is the least that the one-sided test of so many values can give: that of the one
// choice in which all later ones exceed all earlier ones.
func LeastProbability(earlier, later int) float64 {
	least := 1.0
	for i := range later {
		least *= float64(i+1) / float64(earlier+later-i)
	}
	return least
}

// statistic is the sum of the scores of the new values: above zero if they tend to be greater.
func (p permutation) statistic() int {
	sum := 0
	for _, score := range p.scores[len(p.scores)-p.later:] {
		sum += score
	}
	return sum
}

// tails are the probabilities of a statistic at least as great, and at most as great, as the one
// that was seen, if old and new do not differ.
func (p permutation) tails() (greater, less float64) {
	if len(p.scores) > exactPermutations {
		return p.normal()
	}

	n, seen := len(p.scores), p.statistic()
	shift := n - 1 // no score is below -shift
	for sum, probability := range p.counted(shift) {
		switch at := sum - shift*p.later; {
		case at > seen:
			greater += probability
		case at < seen:
			less += probability
		default:
			greater, less = greater+probability, less+probability
		}
	}

	return min(greater, 1), min(less, 1)
}

// counted is the probability of each sum of as many shifted scores as there are new values, by
// counting the choices.
func (p permutation) counted(shift int) []float64 {
	most := 2 * shift * p.later
	choices := make([][]float64, p.later+1)
	for k := range choices {
		choices[k] = make([]float64, most+1)
	}

	choices[0][0] = 1
	for i, score := range p.scores {
		step := score + shift
		for k := min(i+1, p.later); k > 0; k-- {
			for sum := min(most, 2*shift*k); sum >= step; sum-- {
				choices[k][sum] += choices[k-1][sum-step]
			}
		}
	}

	all := 0.0
	for _, n := range choices[p.later] {
		all += n
	}

	for sum := range choices[p.later] {
		choices[p.later][sum] /= all
	}

	return choices[p.later]
}

// normal approximates the tails, with the variance that the permutations have, ties and all.
func (p permutation) normal() (greater, less float64) {
	n, squares := float64(len(p.scores)), 0.0
	for _, score := range p.scores {
		squares += float64(score * score)
	}

	if squares == 0 {
		return 1, 1
	}

	later := float64(p.later)
	sigma := math.Sqrt(later * (n - later) / (n * (n - 1)) * squares)
	const half = 1 // half of the statistic's usual step, 2
	seen := float64(p.statistic())
	greater = math.Erfc((seen-half)/sigma/math.Sqrt2) / 2
	less = math.Erfc((-seen-half)/sigma/math.Sqrt2) / 2
	return greater, less
}

// untied is the permutation test of values of which none are alike, which depends on their numbers
// only.
func untied(earlier, later int) permutation {
	p := permutation{later: later}
	for i := range earlier + later {
		p.scores = append(p.scores, 2*i-(earlier+later-1))
	}
	return p
}

// criticalRank is how many of the earlier*later differences between the sides, the smallest and as
// many of the greatest, can be left out of an interval that misses the true difference in no more
// than 5 of 100 cases; negative if there are too few values for any (Hollander and Wolfe,
// Nonparametric Statistical Methods, section 4.3: the interval reaches from the difference of rank
// criticalRank+1 to its mirror image).
func criticalRank(earlier, later int) int {
	const alpha = 1 - confidence
	p := untied(earlier, later)
	if earlier+later > exactPermutations {
		m, n := float64(earlier), float64(later)
		sigma := math.Sqrt(m * n * (m + n + 1) / 12)
		return int(math.Floor(m*n/2 - 0.5 + sigma*normalQuantile(alpha/2)))
	}

	shift, below := earlier+later-1, 0.0
	// A sum of scores is twice the number of differences above zero, less earlier*later.
	for sum, probability := range p.counted(shift) {
		if probability == 0 {
			continue
		}
		if below += probability; below > alpha/2 {
			return (sum-shift*later+earlier*later)/2 - 1
		}
	}

	return -1
}

// normalQuantile is the value that a standard normal variable is below with the probability p.
func normalQuantile(p float64) float64 { return -math.Sqrt2 * math.Erfcinv(2*p) }
