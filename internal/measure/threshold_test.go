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
		timed(100*time.Millisecond, Measured), timed(200*time.Millisecond, Measured), timed(time.Second, Censored),
	}
	samples[0].FlapCount = 2
	tests := []struct {
		text  string
		holds bool
		says  string
	}{
		{"x.p50<500ms", true, "holds, 200ms"},
		{"x.median<=200ms", true, "holds"},
		{"x.min < 100ms", false, "missed, 100ms"},
		{"x.p99<1h", false, "only known to be longer than 1s"},
		{"x.max>500ms", true, "holds, 1s"},
		{"x.max>5s", false, "longer than 1s"},
		{"x.censored==0", false, "missed, 1"},
		{"x.measured>=2", true, "holds, 2"},
		{"x.expected!=2", true, "holds, 3"},
		{"x.flaps==0", false, "missed, 2"},
		{"x.leaks==0", true, "holds, 0"},
	}
	for _, test := range tests {
		threshold, err := ParseThreshold(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		holds, says := threshold.Judge(Summarize("x", samples))
		if holds != test.holds || !strings.Contains(says, test.says) || threshold.Name() != "x" {
			t.Errorf("%s: %v, %q; want %v and %q", test.text, holds, says, test.holds, test.says)
		}
	}
	threshold, _ := ParseThreshold("x.p99<1h")
	if holds, says := threshold.Judge(Summarize("x", nil)); holds || !strings.Contains(says, "nothing was measured") {
		t.Errorf("of nothing: %v, %q", holds, says)
	}
}

func TestThresholdMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"policy-deny":             "expected SCENARIO.FIGURE",
		"policy-deny.p99<500":     "no duration with a unit",
		"policy-deny.leaks==none": "no whole number",
		"policy-deny.p101<1s":     `unknown figure "p101"`,
		"policy-deny.size<1s":     `unknown figure "size"`,
		"policy-deny.p99=1s":      "an operator",
	} {
		if _, err := ParseThreshold(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}
