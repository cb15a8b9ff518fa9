// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func side(t *testing.T, name string) Side {
	t.Helper()
	found, err := OpenSide(filepath.Join("testdata", name), setting.All())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func limits(t *testing.T, texts ...string) []measure.Limit {
	t.Helper()
	var all []measure.Limit
	for _, text := range texts {
		limit, err := measure.ParseLimit(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, limit)
	}
	return all
}

// TestComparisonGolden compares runs of a lab whose engine took 100 and 130 ms.
func TestComparisonGolden(t *testing.T) {
	c, err := Compare(side(t, "delay100"), side(t, "delay130"),
		limits(t, "p99 > +10%", "policy-deny.mean > +40ms"), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range ComparisonFormats() {
		t.Run(format.Name, func(t *testing.T) {
			var page bytes.Buffer
			if err := format.Write(&page, c); err != nil {
				t.Fatal(err)
			}
			golden(t, "compare-"+format.Name+".txt", page.Bytes())
			for line := range strings.Lines(page.String()) {
				if format.Name == "text" && len([]rune(line)) > 101 {
					t.Errorf("a line is longer than 100 columns: %s", line)
				}
			}
		})
	}
	var exceeded []bool
	for _, check := range c.Checks {
		exceeded = append(exceeded, check.Exceeded)
	}
	if !slices.Equal(exceeded, []bool{true, true, false}) {
		t.Errorf("the limits are exceeded: %v", exceeded)
	}
}

// TestComparisonOfItself finds nothing.
func TestComparisonOfItself(t *testing.T) {
	c, err := Compare(side(t, "delay100"), side(t, "delay100"), limits(t, "max > 0%"), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range c.Results {
		for _, statistic := range one.Statistics {
			if statistic.Change.Value != 0 || statistic.Adjusted != 1 ||
				statistic.Verdict() != "not shown" {
				t.Errorf("%s of a run against itself: %+v", statistic.Statistic, statistic)
			}
		}
	}
	if c.Checks[0].Exceeded {
		t.Error("a run is slower than itself")
	}
}

// Records of every schema are read as the newest has them: a new run is held against an old one.
func TestComparableAcrossSchemas(t *testing.T) {
	earlier, later := side(t, "delay100"), side(t, "delay100")
	later.Sources[0].Run.Schema++
	if found := incomparable(earlier, later); len(found) > 0 {
		t.Errorf("runs of two schemas differ: %q", found)
	}
}

// TestIncomparable refuses what differs, and says what.
func TestIncomparable(t *testing.T) {
	change := func(how func(*result.Run)) Side {
		found := side(t, "delay100")
		found.Sources[0].Run.Scenarios = slices.Clone(found.Sources[0].Run.Scenarios)
		how(&found.Sources[0].Run)
		return found
	}
	tests := []struct {
		name  string
		other Side
		want  string
	}{
		{"scenario", change(func(r *result.Run) {
			r.Scenarios[0].Scenario = "pod-label"
		}), "pod-label is in the other only"},
		{"missing", change(func(r *result.Run) {
			r.Scenarios = r.Scenarios[:1]
		}), "is in the one only"},
		{"targets", change(func(r *result.Run) {
			r.Scenarios[0].Settings["targets"] = []byte("7")
		}), "is 3 in the one, 7 in the other"},
		{"ways", change(func(r *result.Run) {
			r.Scenarios = append(r.Scenarios, r.Scenarios[0])
		}), "with 1 settings in the one, 2 in the other"},
		{"family", change(func(r *result.Run) {
			r.Scenarios[0].Settings["family"] = []byte(`"IPv6"`)
		}), "is IPv4 in the one, IPv6 in the other"},
		{"probe mode", change(func(r *result.Run) {
			r.Scenarios[0].Settings["probe"] = []byte(`"syn"`)
		}), "the probe mode of"},
		{"timeout", change(func(r *result.Run) {
			r.Scenarios[0].Settings["timeoutNs"] = []byte("1000000000")
		}), "the timeout of"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Compare(side(t, "delay100"), test.other, nil, false)
			if !errors.Is(err, ErrIncomparable) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Compare() = %v; want %q", err, test.want)
			}
			c, err := Compare(side(t, "delay100"), test.other, nil, true)
			if err != nil || len(c.Warnings) == 0 {
				t.Errorf("forced: %v, with warnings %q", err, c.Warnings)
			}
		})
	}
	unknown := change(func(r *result.Run) {
		delete(r.Scenarios[0].Settings, "probe")
		delete(r.Scenarios[0].Settings, "timeoutNs")
	})
	if _, err := Compare(side(t, "delay100"), unknown, nil, false); err != nil {
		t.Errorf("a run that did not note its probe mode: %v", err)
	}
}

// TestOpenSide reads a run, or a directory with several, of which each is a replicate if there are
// enough.
func TestOpenSide(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "[runs]")
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if err := os.CopyFS(filepath.Join(parent, name),
			os.DirFS("testdata/delay100")); err != nil {
			t.Fatal(err)
		}
	}
	several, err := OpenSide(parent, setting.All())
	if err != nil || len(several.Sources) != 5 {
		t.Fatalf("%d runs: %v", len(several.Sources), err)
	}
	c, err := Compare(several, several, nil, false)
	if err != nil || c.Unit != UnitRun || c.Results[0].Statistics[0].OldCount != 5 {
		t.Errorf("five runs each: %v, %s, %+v", err, c.Unit, c.Results[0].Statistics[0])
	}
	c, err = Compare(several, side(t, "delay130"), nil, false)
	if err != nil || c.Unit != UnitIteration || c.Results[0].Statistics[0].OldCount != 50 ||
		!strings.Contains(c.Warnings[0], "iterations are compared") {
		t.Errorf("five runs against one: %v, %s, %+v, %q", err, c.Unit, c.Results[0].Statistics[0],
			c.Warnings)
	}
	if _, err := OpenSide(t.TempDir(), setting.All()); err == nil ||
		!strings.Contains(err.Error(), "expected the directory of a run") {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestFewIterations has no verdict of three iterations, and an undecided limit.
func TestFewIterations(t *testing.T) {
	c, err := Compare(side(t, "schema1"), side(t, "schema1"), limits(t, "policy-deny.p99 > +5%"),
		false)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Checks) != 1 || c.Checks[0].Err == nil || !strings.Contains(c.Checks[0].Text(),
		"cannot be decided") {
		t.Errorf("the checks are %+v", c.Checks)
	}
	if !strings.Contains(strings.Join(c.Warnings, "\n"), "at least 5 of each are needed") {
		t.Errorf("the warnings are %q", c.Warnings)
	}
	if _, err := Compare(side(t, "schema1"), side(t, "schema1"), limits(t, "x.p99 > +5%"),
		false); err == nil {
		t.Error("a limit about nothing is taken")
	}
}

// TestGateThatCannotClose refuses limits that nothing could exceed: of so many checks and so few
// iterations none is significant even where everything is ten times slower.
func TestGateThatCannotClose(t *testing.T) {
	slower := func(iterations int) (old, slow Side) {
		for _, to := range []*Side{&old, &slow} {
			*to = side(t, "delay100")
			to.Sources[0].Samples = slices.DeleteFunc(to.Sources[0].Samples,
				func(s measure.Sample) bool { return s.Iteration > iterations })
		}
		for i, s := range slow.Sources[0].Samples {
			slow.Sources[0].Samples[i].Bracket = measure.Bracket{
				Lower: s.Bracket.Lower.Add(time.Second), Upper: s.Bracket.Upper.Add(time.Second),
			}
		}
		return old, slow
	}
	many := limits(t, "min > 1%", "p10 > 1%", "p20 > 1%", "p30 > 1%", "p40 > 1%", "p99 > 1%",
		"policy-deny.max > 1%")

	old, slow := slower(5)
	_, err := Compare(old, slow, many, false)
	const want = "limit min > 1% can never fail: with 13 checks, 5 iterations and 5 iterations " +
		"of policy-creation (3 targets) are too few to show anything: " +
		"expected at least 6 on each side"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("13 checks of 5 iterations: %v; want %q", err, want)
	}

	for name, test := range map[string]struct {
		iterations int
		limits     []measure.Limit
	}{"more iterations": {6, many}, "fewer limits": {5, many[:6]}} {
		old, slow := slower(test.iterations)
		c, err := Compare(old, slow, test.limits, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, check := range c.Checks {
			if !check.Exceeded {
				t.Errorf("%s: %s", name, check.Text())
			}
		}
	}
}

// TestManyStatistics warns if so few iterations cannot show anything among so many statistics.
func TestManyStatistics(t *testing.T) {
	few := side(t, "delay100")
	few.Sources[0].Samples = slices.DeleteFunc(few.Sources[0].Samples,
		func(s measure.Sample) bool { return s.Iteration > 5 })
	c, err := Compare(few, few, limits(t, "p10 > 1%", "p20 > 1%", "p30 > 1%"), false)
	if err != nil || !strings.Contains(strings.Join(c.Warnings, "\n"),
		"too few to show a difference in any of 10 statistics") {
		t.Errorf("%v: the warnings are %q", err, c.Warnings)
	}
}
