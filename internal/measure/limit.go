// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Limit is by how much a statistic may grow, for example policy-deny.p99 > +20%.
type Limit struct {
	text      string
	scenario  string // empty: of every scenario
	statistic Statistic
	// growth is a fraction of the old statistic, or a number of nanoseconds if absolute.
	growth   float64
	absolute bool
}

// limitExample ends every message about a limit that cannot be read.
const limitExample = "for example 'p99 > +20%', 'median > +50ms' or 'policy-deny.p99 > +20%'"

// limitForm is that of a limit, whose parts are its groups.
var limitForm = regexp.MustCompile(
	`^(?:([a-z][a-z0-9-]*(?:/[a-z0-9-]+)*)\.)?([a-z]+[0-9.]*)\s*>\s*\+?([0-9.]\S*)$`,
)

// ParseLimit reads [SCENARIO.]STATISTIC > +CHANGE, where the change is a percentage or a duration.
func ParseLimit(text string) (Limit, error) {
	text = strings.TrimSpace(text)
	parts := limitForm.FindStringSubmatch(text)
	if parts == nil {
		return Limit{}, fmt.Errorf("limit %q: expected [SCENARIO.]STATISTIC > +CHANGE, %s", text,
			limitExample)
	}

	statistic, err := ParseStatistic(parts[2])
	if err != nil {
		return Limit{}, fmt.Errorf("limit %q: %w, %s", text, err, limitExample)
	}

	l := Limit{text: text, scenario: parts[1], statistic: statistic}
	if digits, ok := strings.CutSuffix(parts[3], "%"); ok {
		percent, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return Limit{}, fmt.Errorf("limit %q: %q is no percentage, %s", text, parts[3],
				limitExample)
		}
		l.growth = percent / 100
		return l, nil
	}

	change, err := time.ParseDuration(parts[3])
	if err != nil {
		return Limit{}, fmt.Errorf("limit %q: %q is neither a percentage nor a duration with a "+
			"unit, %s",
			text, parts[3], limitExample)
	}

	l.growth, l.absolute = float64(change), true
	return l, nil
}

// String is the limit as it was written.
func (l Limit) String() string { return l.text }

// Statistic is what the limit is about.
func (l Limit) Statistic() Statistic { return l.statistic }

// About reports whether the limit is about results of a name.
func (l Limit) About(name string) bool {
	return l.scenario == "" || name == l.scenario || strings.HasPrefix(name, l.scenario+"/")
}

// Test is the probability of new replicates so much longer, if the statistic has grown by the limit
// and no more: the permutation test of the new statistics against the old ones as they would be
// with the limit's growth.
func (l Limit) Test(earlier, later []Summary) (float64, error) {
	before, after := statistics(l.statistic, earlier), statistics(l.statistic, later)
	if n := min(len(before), len(after)); n < MinReplicates {
		return 1, fmt.Errorf("only %d replicates have a latency: expected at least %d of each side",
			n, MinReplicates)
	}

	if !l.absolute && !allPositive(before) {
		return 1, errors.New("an old latency is not above zero, so a percentage of it means " +
			"nothing: expected a limit in milliseconds")
	}

	grown := make([]observed, len(before))
	for i, one := range before {
		grown[i] = observed{latency: l.grow(one.latency), censored: one.censored}
	}

	greater, _ := newPermutation(grown, after).tails()
	return greater, nil
}

func (l Limit) grow(latency time.Duration) time.Duration {
	if l.absolute {
		return latency + time.Duration(l.growth)
	}
	return time.Duration(float64(latency) * (1 + l.growth))
}

// Beyond reports whether the estimate of a change is beyond the limit.
func (l Limit) Beyond(c Comparison) bool {
	if l.absolute {
		return c.Change.Value > l.growth
	}
	return c.Ratio.Value > l.growth
}
