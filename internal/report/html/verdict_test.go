// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

func statementOf(v verdict, label string) statement {
	for _, one := range v.Statements {
		if one.Label == label {
			return one
		}
	}
	return statement{}
}

func TestVerdict(t *testing.T) {
	flapping := sampleAt(1, 10, 12)
	flapping.FlapCount = 2
	ending := leaking(3)
	ending.FlapCount = 2
	invalid := sampleAt(1, 10, 12)
	invalid.Status = measure.Invalid
	open := invalid
	open.Want = measure.StateAllowed
	open.Probes[measure.Dropped] = 0
	lost := sampleAt(1, 10, 12)
	lost.Status = measure.Unobserved
	connection := censoredAt(1, 3000)
	connection.Scenario, connection.Kind = "established", measure.KindOpen
	tests := map[string]struct {
		samples  []measure.Sample
		severity severity
		headline string
	}{
		"good": {[]measure.Sample{sampleAt(1, 10, 12), leaking(0)}, good,
			"Policy was enforced on every pair, and leaked nothing."},
		"unobserved": {[]measure.Sample{lost, sampleAt(2, 10, 12)}, warn,
			"Policy was enforced wherever it was observed."},
		"only unobserved": {[]measure.Sample{lost}, warn, "Nothing was measured."},
		"no leaks looked for": {[]measure.Sample{sampleAt(1, 10, 12)}, good,
			"Policy was enforced on every pair."},
		"leak":      {[]measure.Sample{sampleAt(1, 10, 12), leaking(3)}, bad, "Policy leaked."},
		"leak ends": {[]measure.Sample{sampleAt(1, 10, 12), ending}, bad, "Policy leaked."},
		"partial": {[]measure.Sample{sampleAt(1, 10, 12), censoredAt(2, 3000)}, bad,
			"Policy was not enforced everywhere."},
		"none": {[]measure.Sample{censoredAt(1, 3000), censoredAt(2, 3000)}, bad,
			"Policy is not enforced at all."},
		"flap": {[]measure.Sample{flapping}, bad, "Policy did not hold all the time."},
		"several": {[]measure.Sample{flapping, leaking(1), censoredAt(3, 1)}, bad,
			"Policy was not enforced everywhere, leaked and did not hold all the time."},
		"invalid": {[]measure.Sample{invalid, sampleAt(2, 10, 12)}, warn,
			"Policy was enforced wherever that could be proved."},
		"open": {[]measure.Sample{open, sampleAt(2, 10, 12)}, bad,
			"Policy was not enforced everywhere."},
		"connection": {[]measure.Sample{connection}, warn, "No new connection was measured."},
		"nothing":    {nil, warn, "Nothing was measured."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := newRun(report.Build(sourceOf(test.samples...))[0], 1).Verdict
			if v.Headline != test.headline || v.Severity != test.severity {
				t.Errorf("the verdict is %s, %q; want %s, %q", v.Severity, v.Headline,
					test.severity,
					test.headline)
			}
		})
	}
}

// TestEndOfLeakIsNoFlap counts the changes of a pair that must stay blocked nowhere as flaps.
func TestEndOfLeakIsNoFlap(t *testing.T) {
	ending := leaking(3)
	ending.Flaps, ending.FlapCount = []measure.Change{{To: measure.StateBlocked}}, 1
	section := newRun(report.Build(sourceOf(ending))[0], 1).Sections[0]
	if p := section.Data.Pairs; p.Flaps[0] != 0 || len(p.Changes[0]) != 1 {
		t.Errorf("%d flaps and the changes %v; want none, and one change to draw", p.Flaps[0],
			p.Changes[0])
	}
}

func TestVerdictSaysWhichPair(t *testing.T) {
	v := newRun(report.Build(sourceOf(sampleAt(1, 10, 12), sampleAt(2, 300, 310),
		sampleAt(3, 20, 22)))[0], 1).Verdict
	if s := statementOf(v, "Slowest pair"); s.Value != "305ms" ||
		s.Text != "target-2 in policy-deny" || s.Anchor != "run-1-1" {
		t.Errorf("the slowest pair is %+v", s)
	}
	v = newRun(report.Build(sourceOf(sampleAt(1, 10, 12), censoredAt(2, 3000)))[0], 1).Verdict
	if s := statementOf(v, "Slowest pair"); s.Value != ">3000ms" ||
		!strings.HasPrefix(s.Text, "target-2") || s.Severity != bad {
		t.Errorf("the slowest pair is %+v", s)
	}
	if s := statementOf(v, "Enforced"); s.Value != "1 of 2" || s.Severity != bad {
		t.Errorf("enforced: %+v", s)
	}
}

func TestThresholds(t *testing.T) {
	source := sourceOf(sampleAt(1, 10, 12), leaking(3))
	for _, text := range []string{"policy-deny.p99<1s", "policy-deny.p99<1ms",
		"pod-startup.leaks==0", "pod-label.max<1s"} {
		threshold, err := measure.ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		source.Thresholds = append(source.Thresholds, threshold)
	}
	run := newRun(report.Build(source)[0], 1)
	want := []struct {
		severity severity
		text     string
	}{{good, "passed, 11.0ms"}, {bad, "failed, 11.0ms"}, {bad, "failed, 3"},
		{bad, "nothing was run"}}
	if len(run.Thresholds) != len(want) {
		t.Fatalf("the thresholds are %+v", run.Thresholds)
	}
	for i, one := range run.Thresholds {
		if one.Severity != want[i].severity || !strings.Contains(one.Text, want[i].text) {
			t.Errorf("threshold %d is %+v; want %s with %q", i, one, want[i].severity, want[i].text)
		}
	}
	if s := statementOf(run.Verdict, "Thresholds"); s.Value != "1 of 4" || s.Severity != bad {
		t.Errorf("the thresholds are summed up as %+v", s)
	}
}
