// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"strings"
	"testing"
	"time"
)

func TestThreshold(t *testing.T) {
	samples := []Sample{
		timed(100*time.Millisecond, Measured), timed(200*time.Millisecond, Measured),
		timed(time.Second, Censored),
	}
	samples[0].FlapCount = 2
	tests := []struct {
		text   string
		passed bool
		says   string
	}{
		{"x.p50<500ms", true, "passed, 200ms"},
		{"x.median<=200ms", true, "passed"},
		{"x.min < 100ms", false, "failed, 100ms"},
		{"x.p99<1h", false, "only known to be longer than 1000ms"},
		{"x.max>500ms", true, "passed, >1000ms"},
		{"x.max>1s", true, "passed, >1000ms"},
		{"x.max!=5s", false, "longer than 1000ms"},
		{"x.max>5s", false, "longer than 1000ms"},
		{"x.censored==0", false, "failed, 1"},
		{"x.measured>=2", true, "passed, 2"},
		{"x.expected!=2", true, "passed, 3"},
		{"x.flaps==0", false, "failed, 2"},
		{"x.leaks==0", true, "passed, 0"},
		{" x.p90 >= 200ms ", true, "x.p90 >= 200ms: passed, >1000ms"},
		{"x.p33.3<=100ms", true, "passed, 100ms"},
		{"x.mean<1h", false, "only known to be longer than 433ms"},
		{"x.mean<=433.3ms", false, "longer than 433.333333ms"},
		{"x.p50<199.9ms", false, "failed, 200ms"},
		{"x.mean>400ms", true, "passed, >433ms"},
	}
	for _, test := range tests {
		threshold, err := ParseThreshold(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		passed, says := threshold.Evaluate(Summarize("x", samples))
		if passed != test.passed || !strings.Contains(says, test.says) || threshold.Name() != "x" {
			t.Errorf("%s: %v, %q; want %v and %q", test.text, passed, says, test.passed, test.says)
		}
	}
}

// TestThresholdReachedAtOnce has a pair that took at most 475 ms.
func TestThresholdReachedAtOnce(t *testing.T) {
	summary := Summarize("x", []Sample{atMost(475 * time.Millisecond)})
	for text, want := range map[string]string{
		"x.p99<500ms":   "x.p99<500ms: passed, ≤475ms",
		"x.max<=475ms":  "x.max<=475ms: passed, ≤475ms",
		"x.mean<475ms":  "x.mean<475ms: failed, it is only known to be at most 475ms",
		"x.min>100ms":   "x.min>100ms: failed, it is only known to be at most 475ms",
		"x.min!=1s":     "x.min!=1s: failed, it is only known to be at most 475ms",
		"x.measured==1": "x.measured==1: passed, 1",
	} {
		threshold, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		if passed, got := threshold.Evaluate(summary); got != want ||
			passed != strings.Contains(want, "passed") {
			t.Errorf("%s: %t, %q; want %q", text, passed, got, want)
		}
	}
}

// TestThresholdUndecided evaluates thresholds for results that do not tell: none of them may pass
// for that.
func TestThresholdUndecided(t *testing.T) {
	invalid := []Sample{{Scenario: "x", Status: Invalid}}
	forbidden := timed(time.Second, Measured)
	forbidden.Kind = KindBlocked
	tests := []struct {
		text    string
		samples []Sample
		says    string
	}{
		{"x.p99<1h", nil, "x.p99<1h: failed, nothing was run"},
		{"x.leaks==0", nil, "failed, nothing was run"},
		{"x.censored==0", nil, "failed, nothing was run"},
		{"x.p99<1h", invalid, "failed, nothing was measured"},
		{"x.mean<1h", invalid, "failed, nothing was measured"},
		{"x.leaks==0", invalid, "failed, nothing was measured"},
		{"x.flaps==0", invalid, "failed, nothing was measured"},
		{"x.p99<1h", []Sample{forbidden}, "failed, its pairs were to stay blocked and have no " +
			"latency"},
	}
	for _, test := range tests {
		threshold, err := ParseThreshold(test.text)
		if err != nil {
			t.Fatal(err)
		}
		if passed, says := threshold.Evaluate(Summarize("x", test.samples)); passed ||
			!strings.Contains(says, test.says) {
			t.Errorf("%s of %d samples: %v, %q; want %q", test.text, len(test.samples), passed,
				says,
				test.says)
		}
	}
}

func TestThresholdString(t *testing.T) {
	threshold, err := ParseThreshold("\t policy-update/close.p95 < 1s\n")
	if err != nil {
		t.Fatal(err)
	}
	if threshold.String() != "policy-update/close.p95 < 1s" ||
		threshold.Name() != "policy-update/close" {
		t.Errorf("String() = %q, Name() = %q", threshold, threshold.Name())
	}
}

// TestThresholdAbout has a threshold be about the parts of its scenario, and a limit of a latency
// only about those that have one.
func TestThresholdAbout(t *testing.T) {
	for _, test := range []struct {
		text     string
		scenario string
		kind     Kind
		want     bool
	}{
		{"pod-startup.leaks==0", "pod-startup", KindNew, true},
		{"pod-startup.leaks==0", "pod-startup/main/forbidden", KindBlocked, true},
		{"pod-startup.p99<1s", "pod-startup/forbidden", KindBlocked, false},
		{"pod-startup/forbidden.p99<1s", "pod-startup/forbidden", KindBlocked, true},
		{"policy-update.p99<1s", "policy-update/port/open", KindNew, true},
		{"policy.p99<1s", "policy-update", KindNew, false},
	} {
		threshold, err := ParseThreshold(test.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := threshold.About(Summary{Scenario: test.scenario,
			Kind: test.kind}); got != test.want {
			t.Errorf("%s is about %s: %v; want %v", test.text, test.scenario, got, test.want)
		}
	}
}

func TestThresholdMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"policy-deny":             "expected SCENARIO.STATISTIC",
		"policy-deny.p99<500":     "no duration with a unit",
		"policy-deny.leaks==none": "no whole number",
		"policy-deny.p101<1s":     `unknown statistic "p101"`,
		"policy-deny.size<1s":     `unknown statistic "size"`,
		"policy-deny.p99=1s":      "an operator",
		"policy-deny/.p99<1s":     "expected SCENARIO.STATISTIC",
		"policy-deny.p1e1<1s":     `unknown statistic "p1e1"`,
		"policy-deny.p<1s":        `unknown statistic "p"`,
	} {
		_, err := ParseThreshold(text)
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "for example") {
			t.Errorf("%s: %v; want %q and an example", text, err, want)
		}
	}
}
