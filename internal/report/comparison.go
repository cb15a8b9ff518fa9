// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Unit is what a comparison counts as one replicate.
type Unit string

// The units. Pairs are none: those of one iteration share its trigger.
const (
	UnitIteration Unit = "iteration"
	UnitRun       Unit = "run"
)

// Comparison compares the results of two sides.
type Comparison struct {
	Old, New Side
	Unit     Unit
	Results  []Compared
	Checks   []Check
	// Warnings qualify all of it.
	Warnings []string
}

// Compared is one result on both sides.
type Compared struct {
	Name string
	// Old and New are the summaries of all pairs.
	Old, New measure.Summary
	// OldSamples and NewSamples are these pairs.
	OldSamples, NewSamples []measure.Sample
	// Statistics are empty if the pairs were to stay blocked: there is no latency.
	Statistics []ComparedStatistic

	oldReplicates, newReplicates []measure.Summary
}

// ComparedStatistic is one statistic on both sides, with its probability adjusted for all
// statistics that are compared.
type ComparedStatistic struct {
	measure.Comparison
	Adjusted float64
}

// Verdict says in a word what the statistics show.
func (f ComparedStatistic) Verdict() string {
	switch {
	case !f.Enough():
		return "too few"
	case f.Adjusted > measure.Significance:
		return "not shown"
	case f.Slower():
		return "slower"
	}
	return "faster"
}

// Slower reports whether new values tend to be the longer ones, also where by how much is not
// known.
func (f ComparedStatistic) Slower() bool {
	if math.IsNaN(f.Change.Value) {
		return math.IsInf(f.Change.Upper, 1) && !math.IsInf(f.Change.Lower, -1)
	}
	return f.Change.Value > 0
}

// Check is how a limit stands for one result.
type Check struct {
	Limit      measure.Limit
	Name       string
	Comparison measure.Comparison
	// P is the probability of such statistics if the limit is kept, adjusted for all checks.
	P float64
	// Exceeded says that the change is beyond the limit, beyond reasonable doubt.
	Exceeded bool
	// Err says why it cannot be decided, if so.
	Err error
}

// ErrIncomparable is a comparison of what is not alike.
var ErrIncomparable = errors.New("the runs are not comparable")

// Compare compares two sides, and checks limits. Unless forced it refuses what is
// not comparable with an error that says what differs.
func Compare(earlier, later Side, limits []measure.Limit, force bool) (Comparison, error) {
	c := Comparison{Old: earlier, New: later, Unit: unitOf(earlier, later)}
	var err error
	if c.Warnings, err = refuse(force, earlier, later); err != nil {
		return c, err
	}

	c.match()
	if len(c.Results) == 0 {
		return c, errNothingInCommon
	}

	if err := c.check(limits); err != nil {
		return c, err
	}

	for i := range c.Results {
		c.Results[i].compare(limits)
	}

	c.adjust()
	c.warn()
	for _, limit := range limits {
		if !slices.ContainsFunc(c.Checks, func(check Check) bool { return check.Limit == limit }) {
			return c, fmt.Errorf("limit %q is about no latency that both sides have", limit)
		}
	}

	return c, nil
}

// errNothingInCommon is the comparison of results of which there are no two of the same.
var errNothingInCommon = fmt.Errorf("%w: they have no result in common", ErrIncomparable)

// unitOf is what can be compared: runs, if all sides have enough of them.
func unitOf(sides ...Side) Unit {
	for _, side := range sides {
		if len(side.Sources) < measure.MinReplicates {
			return UnitIteration
		}
	}
	return UnitRun
}

// refuse is an error about sides that are not comparable, or, if they are compared all the same,
// warnings.
func refuse(force bool, sides ...Side) (warnings []string, err error) {
	found := incomparable(sides...)
	if len(found) > 0 && !force {
		return nil, fmt.Errorf("%w: --force compares them all the same:\n  %s", ErrIncomparable,
			strings.Join(found, "\n  "))
	}
	return found, nil
}

// match finds the results that both sides have. Ones that are forced together may have other
// settings, if there is one of each.
func (c *Comparison) match() {
	before, after := c.Old.replicates(c.Unit), c.New.replicates(c.Unit)
	pooledOld, pooledNew := pooled(c.Old), pooled(c.New)
	keys := slices.SortedFunc(maps.Keys(before), func(a, b resultKey) int {
		return strings.Compare(a.setting+"\x00"+a.scenario, b.setting+"\x00"+b.scenario)
	})

	for _, key := range keys {
		other := key
		if after[key] == nil {
			other = only(before, after, key)
		}
		if after[other] == nil {
			continue
		}
		c.Results = append(c.Results, Compared{
			Name: key.String(), Old: pooledOld[key].Summary, New: pooledNew[other].Summary,
			OldSamples: pooledOld[key].Samples, NewSamples: pooledNew[other].Samples,
			oldReplicates: before[key], newReplicates: after[other],
		})
	}
}

// only is the key of the one result of the same scenario, if each side has one.
func only(before, after map[resultKey][]measure.Summary, key resultKey) resultKey {
	var ours, theirs []resultKey
	for one := range before {
		if one.scenario == key.scenario {
			ours = append(ours, one)
		}
	}

	for one := range after {
		if one.scenario == key.scenario {
			theirs = append(theirs, one)
		}
	}

	if len(ours) == 1 && len(theirs) == 1 {
		return theirs[0]
	}

	return key
}

func pooled(side Side) map[resultKey]measure.Result {
	all := make(map[resultKey]measure.Result)
	for _, result := range measure.Assess(side.samples(), nil).Results {
		all[keyOf(result.Summary)] = result
	}
	return all
}

// compare compares the median, the 99th percentile, and the statistics of the limits that are about
// the result.
func (r *Compared) compare(limits []measure.Limit) {
	if r.Old.Kind.Stays() {
		return
	}

	statistics := []measure.Statistic{"median", "p99"}
	for _, limit := range limits {
		if limit.About(r.Old.Scenario) && !slices.Contains(statistics, limit.Statistic()) {
			statistics = append(statistics, limit.Statistic())
		}
	}

	for _, statistic := range statistics {
		r.Statistics = append(r.Statistics, ComparedStatistic{Comparison: measure.Compare(
			statistic, r.oldReplicates, r.newReplicates)})
	}
}

// adjust adjusts the probabilities of the statistics.
func (c *Comparison) adjust() {
	var all []*ComparedStatistic
	for i := range c.Results {
		for j := range c.Results[i].Statistics {
			all = append(all, &c.Results[i].Statistics[j])
		}
	}
	adjust(all)
}

// adjust adjusts the probabilities for the number of statistics: who compares many would find one
// that differs by chance.
func adjust(all []*ComparedStatistic) {
	var probabilities []float64
	for _, statistic := range all {
		probabilities = append(probabilities, statistic.P)
	}
	for i, p := range measure.Holm(probabilities) {
		all[i].Adjusted = p
	}
}

// check tests every limit on every result that it is about. A check that no values could fail
// is an error: who waits for it would wait for ever.
func (c *Comparison) check(limits []measure.Limit) error {
	var probabilities, least []float64
	for _, limit := range limits {
		for _, one := range c.Results {
			if one.Old.Kind.Stays() || !limit.About(one.Old.Scenario) {
				continue
			}
			p, err := limit.Test(one.oldReplicates, one.newReplicates)
			compared := measure.Compare(limit.Statistic(), one.oldReplicates, one.newReplicates)
			c.Checks = append(c.Checks, Check{
				Limit: limit, Name: one.Name, Comparison: compared, Err: err,
			})
			probabilities = append(probabilities, p)
			least = append(least, measure.LeastProbability(compared.OldCount, compared.NewCount))
		}
	}

	for i, p := range measure.Holm(least) {
		if c.Checks[i].Err == nil && p > measure.Significance {
			return c.Checks[i].neverFails(c.Unit, len(c.Checks))
		}
	}
	for i, p := range measure.Holm(probabilities) {
		c.Checks[i].P = p
		c.Checks[i].Exceeded = c.Checks[i].Err == nil && p <= measure.Significance
	}
	return nil
}

// neverFails says what it takes for a check, one of several, to be able to fail.
func (c Check) neverFails(unit Unit, checks int) error {
	enough := measure.MinReplicates
	for float64(checks)*measure.LeastProbability(enough, enough) > measure.Significance {
		enough++
	}
	return fmt.Errorf("limit %s can never fail: with %d checks, %s and %s of %s are too few to "+
		"show anything: expected at least %d on each side, or fewer limits and results",
		c.Limit, checks, many(c.Comparison.OldCount, unit), many(c.Comparison.NewCount, unit),
		c.Name, enough)
}

// Cut says which of the compared runs did not come to their end, a sentence each.
func (c Comparison) Cut() []string { return append(c.Old.cut(), c.New.cut()...) }

// warn adds what qualifies the comparison.
func (c *Comparison) warn() {
	c.Warnings = append(c.Warnings, c.Cut()...)

	statistics := 0
	for _, one := range c.Results {
		statistics += len(one.Statistics)
	}

	for _, one := range c.Results {
		c.Warnings = append(c.Warnings, one.warnings(c.Unit, statistics)...)
	}

	c.Warnings = append(c.Warnings, iterationsCompared(c.Unit, c.Old, c.New)...)

	if old, now := c.Old.Sources[0].Run.Version, c.New.Sources[0].Run.Version; old != now {
		c.Warnings = append(c.Warnings, fmt.Sprintf("the runs were made by different versions, "+
			"%s and %s", known(old), known(now)))
	}
}

// iterationsCompared warns where iterations of several runs are compared instead of these.
func iterationsCompared(unit Unit, sides ...Side) []string {
	several := slices.ContainsFunc(sides, func(s Side) bool { return len(s.Sources) > 1 })
	if unit == UnitRun || !several {
		return nil
	}
	return []string{fmt.Sprintf("iterations are compared, and those of one run may be alike for "+
		"reasons of that run: with at least %d runs on each side, runs are compared",
		measure.MinReplicates)}
}

func (r *Compared) warnings(unit Unit, statistics int) []string {
	var all []string
	say := func(format string, values ...any) {
		all = append(all, r.Name+": "+fmt.Sprintf(format, values...))
	}

	for _, status := range measure.Statuses()[1:] {
		if old, now := r.Old.Account.Count(status), r.New.Account.Count(status); old+now > 0 {
			say("%d of %d pairs %s in the old, %d of %d in the new", old, r.Old.Account.Expected,
				status, now, r.New.Account.Expected)
		}
	}

	if r.Old.Leaks+r.New.Leaks > 0 {
		say("%d leaks in the old, %d in the new", r.Old.Leaks, r.New.Leaks)
	}

	if len(r.Statistics) == 0 {
		return all
	}

	first := r.Statistics[0]
	switch {
	case !first.Enough():
		say("%s and %s have a latency: at least %d of each are needed for a verdict (--repeat)",
			many(first.OldCount, unit),
			many(first.NewCount, unit), measure.MinReplicates)
	case 2*float64(statistics)*measure.LeastProbability(first.OldCount,
		first.NewCount) > measure.Significance:
		say("%s and %s are too few to show a difference in any of %d statistics: repeat more often",
			many(first.OldCount, unit),
			many(first.NewCount, unit), statistics)
	}

	resolution := max(r.Old.Resolution.Quantile(0.5), r.New.Resolution.Quantile(0.5))
	for _, statistic := range r.Statistics {
		change := math.Abs(statistic.Change.Value)
		if statistic.Enough() && statistic.Adjusted <= measure.Significance &&
			change < float64(resolution) {
			say("the change of %s is smaller than the resolution (median %s)", statistic.Statistic,
				measure.FormatDuration(resolution))
		}
	}

	return all
}

// many counts units, for example 10 iterations.
func many(n int, unit Unit) string { return measure.Plural(n, string(unit)) }

// Text says how the limit stands.
func (c Check) Text() string {
	text := fmt.Sprintf("limit %s: %s: ", c.Limit, c.Name)
	change := fmt.Sprintf("%s, %s (p %s)", signed(c.Comparison.Change.Value),
		percent(c.Comparison.Ratio.Value), probability(c.P))
	switch {
	case c.Err != nil:
		return text + "cannot be decided: " + c.Err.Error()
	case c.Exceeded:
		return text + "EXCEEDED, " + change
	case c.Limit.Beyond(c.Comparison):
		return text + "perhaps exceeded, " + change + ": more iterations would tell"
	}

	return text + "not exceeded, " + change
}

// signed is a difference of latencies, in nanoseconds.
func signed(nanoseconds float64) string {
	switch {
	case math.IsNaN(nanoseconds):
		return "unknown"
	case math.IsInf(nanoseconds, 0):
		return none
	case nanoseconds < 0:
		return measure.FormatDuration(time.Duration(nanoseconds))
	}
	return "+" + measure.FormatDuration(time.Duration(nanoseconds))
}

// percent is a share, as percent.
func percent(share float64) string {
	switch {
	case math.IsNaN(share):
		return "unknown"
	case math.IsInf(share, 0):
		return none
	}
	return fmt.Sprintf("%+.1f %%", 100*share)
}

func probability(p float64) string {
	if p < 0.0001 {
		return "<0.0001"
	}
	return fmt.Sprintf("%.4f", p)
}
