// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// three are the runs of two engines, and the first one's again with a pair that was given up and
// one that flapped.
func three(t *testing.T) []Side {
	t.Helper()
	again := side(t, "delay100")
	again.Path = "testdata/again"
	samples := slices.Clone(again.Sources[0].Samples)
	samples[0].Status, samples[0].Reason = measure.Censored, "it took too long"
	samples[0].Ended = samples[0].Start.At.Add(10 * time.Second)
	samples[1].Flaps, samples[1].FlapCount = []measure.Change{{}}, 1
	again.Sources[0].Samples = samples
	return []Side{side(t, "delay100"), side(t, "delay130"), again}
}

// TestSideBySideGolden compares runs of a lab whose engine took 100, 130 and again 100 ms.
func TestSideBySideGolden(t *testing.T) {
	c, err := CompareAll(three(t), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range SideBySideFormats() {
		t.Run(format.Name, func(t *testing.T) {
			var page bytes.Buffer
			if err := format.Write(&page, c); err != nil {
				t.Fatal(err)
			}
			golden(t, "sidebyside-"+format.Name+".txt", page.Bytes())
		})
	}
}

// TestSideBySideDifferences finds the engine that is slower than both others, and no difference of
// these two; the family of comparisons is larger than that of any two sides.
func TestSideBySideDifferences(t *testing.T) {
	sides := three(t)
	c, err := CompareAll(sides, false)
	if err != nil {
		t.Fatal(err)
	}
	slower := make(map[string]int)
	for _, difference := range c.Differences {
		slower[difference.Slower+" than "+difference.Faster]++
	}
	want := map[string]int{"delay130 than delay100": 4, "delay130 than again": 4}
	if diff := cmp.Diff(want, slower); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}

	pair, err := Compare(sides[0], sides[1], nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if c.Comparisons != 3*len(pair.Results)*len(sideStatistics()) {
		t.Errorf("%d comparisons of three sides with %d results", c.Comparisons,
			len(pair.Results))
	}
	one, all := pair.Results[0].Statistics[0], c.Differences[0]
	if all.P != one.P || all.Adjusted <= one.Adjusted {
		t.Errorf("p is %g, adjusted %g among three sides; want %g and more than %g", all.P,
			all.Adjusted, one.P, one.Adjusted)
	}
}

// TestSideBySideForced leaves out what only one side has, and says what one of them lacks.
func TestSideBySideForced(t *testing.T) {
	sides := append(three(t), side(t, "schema1"))
	if _, err := CompareAll(sides, false); !errors.Is(err, ErrIncomparable) {
		t.Errorf("runs of other scenarios: %v", err)
	}
	c, err := CompareAll(sides, true)
	if err != nil {
		t.Fatal(err)
	}
	warnings := strings.Join(c.Warnings, "\n")
	for _, want := range []string{"in the other only",
		"policy-deny (3 targets): 1 of 30 pairs censored in again"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("the warnings do not say %q:\n%s", want, warnings)
		}
	}
	for _, result := range c.Results {
		if len(result.Of) != len(sides) {
			t.Errorf("%s has %d sides; want %d", result.Name, len(result.Of), len(sides))
		}
	}
}

// TestSideNames are the directories' own, unless two are called the same.
func TestSideNames(t *testing.T) {
	for _, test := range []struct {
		name        string
		paths, want []string
	}{
		{"different", []string{"runs/a", "b/"}, []string{"a", "b"}},
		{"the same", []string{"old/run", "new/run"}, []string{"old/run", "new/run"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var sides []Side
			for _, path := range test.paths {
				sides = append(sides, Side{Path: path})
			}
			if diff := cmp.Diff(test.want, sideNames(sides)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}
