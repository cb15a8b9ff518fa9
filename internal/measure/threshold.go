// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Threshold is a limit of one statistic of a scenario's result, for example policy-deny.p99<500ms.
type Threshold struct {
	text      string
	scenario  string
	statistic string
	operator  string
	limit     float64 // nanoseconds, or a count
}

// thresholdExample ends every message about a threshold that cannot be read.
const thresholdExample = "for example policy-deny.p99<500ms or pod-startup/forbidden.leaks==0"

// thresholdForm is that of a threshold, whose parts are its groups.
var thresholdForm = regexp.MustCompile(
	`^([a-z0-9-]+(?:/[a-z0-9-]+)*)\.([a-z0-9.]+)\s*(<=|>=|==|!=|<|>)\s*(\S+)$`,
)

// ParseThreshold reads SCENARIO.STATISTIC, an operator (<, <=, >, >=, ==, !=) and a limit. The
// statistics min, max, mean, median and pNN are durations, and so are outage and unknown, the
// longest of their kind; expected, measured, censored, invalid, deleted, unobserved, leaks, flaps,
// outages, holes and lost are counts.
func ParseThreshold(text string) (Threshold, error) {
	text = strings.TrimSpace(text)
	parts := thresholdForm.FindStringSubmatch(text)
	if parts == nil {
		return Threshold{},
			fmt.Errorf("threshold %q: expected SCENARIO.STATISTIC, an operator (<, <=, >, >=, == "+
				"or !=) and a limit, %s", text, thresholdExample)
	}

	t := Threshold{text: text, scenario: parts[1], statistic: parts[2], operator: parts[3]}
	_, isCount := t.count(Summary{})
	_, isDuration := t.duration(Summary{})
	_, isSpan := t.span(Summary{})
	switch {
	case isCount:
		limit, err := strconv.Atoi(parts[4])
		if err != nil {
			return Threshold{}, fmt.Errorf("threshold %q: %q is no whole number, which %s is, %s",
				text, parts[4], t.statistic, thresholdExample)
		}
		t.limit = float64(limit)
	case isDuration || isSpan:
		limit, err := time.ParseDuration(parts[4])
		if err != nil {
			return Threshold{}, fmt.Errorf("threshold %q: %q is no duration with a unit, %s",
				text, parts[4], thresholdExample)
		}
		t.limit = float64(limit)
	default:
		return Threshold{}, fmt.Errorf("threshold %q: unknown statistic %q: expected %s, %s", text,
			t.statistic, alternatives(ThresholdStatistics("p0 to p100")), thresholdExample)
	}

	return t, nil
}

// About reports whether the threshold is about a summary: that of its scenario or of a part of it.
// About a part that has not got its statistic it is only by the part's full name.
func (t Threshold) About(s Summary) bool {
	return s.Scenario == t.scenario || t.AboutName(s.Scenario) && t.fits(s.Kind)
}

// fits reports whether pairs of a kind have the statistic: what must keep its state has no latency,
// and only what must stay allowed has outages.
func (t Threshold) fits(kind Kind) bool {
	switch t.statistic {
	case "outage", "outages", "lost":
		return kind.Keeps() == StateAllowed
	case "hole", "holes":
		return kind.Keeps() == StateBlocked
	case "unknown":
		return kind.Stays()
	}
	_, isCount := t.count(Summary{})
	return isCount || !kind.Stays()
}

// AboutName reports whether the threshold is about results of a name.
func (t Threshold) AboutName(name string) bool {
	return name == t.scenario || strings.HasPrefix(name, t.scenario+"/")
}

// Name is the scenario that the threshold is about, as it is in the results.
func (t Threshold) Name() string { return t.scenario }

// String is the threshold as it was written.
func (t Threshold) String() string { return t.text }

// countStatistic is a statistic that counts.
type countStatistic struct {
	name string
	of   func(Summary) int
}

// countStatistics lists all of them, in the order of messages.
func countStatistics() []countStatistic {
	all := []countStatistic{{"expected", func(s Summary) int { return s.Account.Expected }}}
	for _, status := range Statuses() {
		all = append(all, countStatistic{status.String(), func(s Summary) int {
			return s.Account.Count(status)
		}})
	}
	breaches := func(s Summary) int { return s.Disruption.Breaches }
	return append(all, countStatistic{"leaks", func(s Summary) int { return s.Leaks }},
		countStatistic{"flaps", func(s Summary) int { return s.Flaps }},
		countStatistic{"outages", breaches}, countStatistic{"holes", breaches},
		countStatistic{"lost", func(s Summary) int { return s.Disruption.Lost }})
}

// spanStatistics are those that are known between two ends, in the order of messages.
func spanStatistics() []string { return []string{"outage", "hole", "unknown"} }

// span is the statistic as a span, if it is one: the longest of its kind.
func (t Threshold) span(s Summary) (Span, bool) {
	switch t.statistic {
	case "outage", "hole":
		return s.Disruption.Longest, true
	case "unknown":
		return Span{s.Disruption.LongestUnknown, s.Disruption.LongestUnknown}, true
	default:
		return Span{}, false
	}
}

// ofDisruption reports whether the statistic is of a disruption.
func (t Threshold) ofDisruption() bool {
	_, isSpan := t.span(Summary{})
	return isSpan || slices.Contains([]string{"outages", "holes", "lost"}, t.statistic)
}

// ThresholdStatistics are the statistics that a threshold can be about: durations, with some
// percentiles in the place of all, and counts.
func ThresholdStatistics(percentiles ...string) []string {
	all := append(durationStatistics(percentiles...), spanStatistics()...)
	for _, one := range countStatistics() {
		all = append(all, one.name)
	}
	return all
}

// count is the statistic as a count, if it is one.
func (t Threshold) count(s Summary) (int, bool) {
	for _, one := range countStatistics() {
		if t.statistic == one.name {
			return one.of(s), true
		}
	}
	return 0, false
}

// duration is the statistic as a duration, if it is one.
func (t Threshold) duration(s Summary) (observed, bool) {
	statistic, err := ParseStatistic(t.statistic)
	if err != nil {
		return observed{}, false
	}
	value, _ := statistic.of(s)
	return value, true
}

// Evaluate reports whether a summary passes the threshold, with a line that says so. What cannot be
// decided fails: nothing was measured, or the statistic is only known to be longer than
// something, or at most so long.
func (t Threshold) Evaluate(s Summary) (passed bool, text string) {
	if why := t.undecided(s); why != "" {
		return false, t.text + ": failed, " + why
	}

	if n, isCount := t.count(s); isCount {
		return t.verdict(float64(n), strconv.Itoa(n))
	}

	if span, isSpan := t.span(s); isSpan {
		return t.evaluateSpan(span)
	}
	found, _ := t.duration(s)
	statistic, value := t.format(found.latency), float64(found.latency)
	only := ": failed, it is only known to be "
	switch {
	case found.censored == Exact:
		return t.verdict(value, statistic)
	case found.censored == RightCensored && t.operator[0] == '>' && value >= t.limit:
		return true, t.text + ": passed, >" + statistic
	case found.censored == RightCensored:
		return false, t.text + only + "longer than " + statistic
	}

	if passed, text := t.verdict(value, "≤"+statistic); passed && t.operator[0] == '<' {
		return true, text
	}

	return false, t.text + only + "at most " + statistic
}

// evaluateSpan is the verdict about a span, if both of its ends agree.
func (t Threshold) evaluateSpan(span Span) (passed bool, text string) {
	least, _ := t.verdict(float64(span.Least), "")
	most, text := t.verdict(float64(span.Most), span.String())
	if least != most {
		return false, t.text + ": failed, it is only known to be " + span.String()
	}
	return most, text
}

// format writes a statistic as everywhere, and exactly where it would look like the limit and is
// not.
func (t Threshold) format(statistic time.Duration) string {
	text, limit := FormatDuration(statistic), time.Duration(t.limit)
	if statistic != limit && text == FormatDuration(limit) {
		return statistic.String()
	}
	return text
}

// undecided says why the summary does not tell what the statistic is, if so. That pairs which were
// not looked at have neither leaked nor flapped says nothing.
func (t Threshold) undecided(s Summary) string {
	_, isCount := t.count(s)
	needsPairs := !isCount || t.ofDisruption() || t.statistic == "leaks" || t.statistic == "flaps"
	switch {
	case s.Account.Expected == 0 && t.statistic != "expected":
		return "nothing was run"
	case s.Account.Count(Measured) == 0 && needsPairs:
		return "nothing was measured"
	case t.ofDisruption() && !t.fits(s.Kind):
		return "its pairs have none: they are other ones"
	case t.ofDisruption() && s.Disruption.Pairs == 0:
		return "nothing was watched through a disruption"
	case !t.fits(s.Kind):
		return fmt.Sprintf("its pairs were to stay %s and have no latency", s.Kind.Keeps())
	}
	return ""
}

func (t Threshold) verdict(value float64, text string) (bool, string) {
	passed := map[string]bool{
		"<": value < t.limit, "<=": value <= t.limit, ">": value > t.limit, ">=": value >= t.limit,
		"==": value == t.limit, "!=": value != t.limit,
	}[t.operator]
	if passed {
		return true, t.text + ": passed, " + text
	}
	return false, t.text + ": failed, " + text
}
