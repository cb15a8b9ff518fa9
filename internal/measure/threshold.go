// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Threshold is a limit of one figure of a scenario's result, for example policy-deny.p99<500ms.
type Threshold struct {
	text     string
	scenario string
	figure   string
	operator string
	limit    float64 // nanoseconds, or a count
}

// thresholdExample ends every message about a threshold that cannot be read.
const thresholdExample = "for example policy-deny.p99<500ms or pod-startup/forbidden.leaks==0"

// ParseThreshold reads SCENARIO.FIGURE, an operator (<, <=, >, >=, ==, !=) and a limit. The figures min, max,
// median and pNN are durations; expected, measured, censored, invalid, deleted, leaks and flaps are counts.
func ParseThreshold(text string) (Threshold, error) {
	form := regexp.MustCompile(`^\s*([a-z0-9/-]+)\.([a-z0-9.]+)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*$`)
	parts := form.FindStringSubmatch(text)
	if parts == nil {
		return Threshold{}, fmt.Errorf("threshold %q: expected SCENARIO.FIGURE, an operator and a limit, %s", text, thresholdExample)
	}
	t := Threshold{text: parts[0], scenario: parts[1], figure: parts[2], operator: parts[3]}
	if _, isCount := t.count(Summary{}); isCount {
		limit, err := strconv.Atoi(parts[4])
		if err != nil {
			return Threshold{}, fmt.Errorf("threshold %q: %q is no whole number, which %s is, %s", text, parts[4], t.figure, thresholdExample)
		}
		t.limit = float64(limit)
		return t, nil
	}
	if _, ok := t.quantile(); !ok {
		return Threshold{}, fmt.Errorf("threshold %q: unknown figure %q: expected min, median, p0 to p100, max, expected, "+
			"measured, censored, invalid, deleted, leaks or flaps", text, t.figure)
	}
	limit, err := time.ParseDuration(parts[4])
	if err != nil {
		return Threshold{}, fmt.Errorf("threshold %q: %q is no duration with a unit, %s", text, parts[4], thresholdExample)
	}
	t.limit = float64(limit)
	return t, nil
}

// Name is the scenario that the threshold is about, as it is in the results.
func (t Threshold) Name() string { return t.scenario }

// count is the figure as a count, if it is one.
func (t Threshold) count(s Summary) (int, bool) {
	switch t.figure {
	case "expected":
		return s.Account.Expected, true
	case "leaks":
		return s.Leaks, true
	case "flaps":
		return s.Flaps, true
	}
	for _, status := range Statuses() {
		if t.figure == status.String() {
			return s.Account.Count(status), true
		}
	}
	return 0, false
}

// quantile is the share of the pairs that the figure is about.
func (t Threshold) quantile() (float64, bool) {
	switch t.figure {
	case "min":
		return 0, true
	case "median":
		return 0.5, true
	case "max":
		return 1, true
	}
	percent, err := strconv.ParseFloat(t.figure[1:], 64)
	return percent / 100, err == nil && t.figure[0] == 'p' && percent >= 0 && percent <= 100
}

// Judge reports whether the threshold holds for a summary, with a line that says so. What cannot be decided does
// not hold: nothing was measured, or the figure is only known to be longer than something.
func (t Threshold) Judge(s Summary) (holds bool, text string) {
	if n, isCount := t.count(s); isCount {
		return t.verdict(float64(n), strconv.Itoa(n))
	}
	q, _ := t.quantile()
	estimate := s.Quantile(q)
	switch {
	case s.Account.Count(Measured) == 0:
		return false, t.text + ": missed, nothing was measured"
	case estimate.Longer && (t.operator != ">" && t.operator != ">=" || float64(estimate.Value) < t.limit):
		return false, fmt.Sprintf("%s: missed, it is only known to be longer than %s", t.text, estimate.Value.Round(time.Microsecond))
	}
	return t.verdict(float64(estimate.Value), estimate.Value.Round(time.Microsecond).String())
}

func (t Threshold) verdict(value float64, text string) (bool, string) {
	holds := map[string]bool{
		"<": value < t.limit, "<=": value <= t.limit, ">": value > t.limit, ">=": value >= t.limit,
		"==": value == t.limit, "!=": value != t.limit,
	}[t.operator]
	if holds {
		return true, t.text + ": holds, " + text
	}
	return false, t.text + ": missed, " + text
}
