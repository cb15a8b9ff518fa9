// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func onNodes(s measure.Sample, client, target string) measure.Sample {
	s.ClientNode, s.TargetNode = client, target
	return s
}

func TestSectionComparesPlaces(t *testing.T) {
	both := sourceOf(onNodes(sampleAt(1, 1, 2), "node-0", "node-0"),
		onNodes(sampleAt(2, 9, 11), "node-0", "node-1"))
	s := newRun(report.Build(both)[0], 1).Sections[0]
	if len(s.Places) != 2 || s.Places[0].Median.Value != "1.50ms" ||
		s.Places[1].Median.Value != "10.0ms" || len(s.Data.Curves) != 3 {
		t.Errorf("the places are %+v with %d curves", s.Places, len(s.Data.Curves))
	}
	nowhere := sourceOf(sampleAt(1, 1, 2))
	nowhere.Run.Scenarios = nil
	if s := newRun(report.Build(nowhere)[0], 1).Sections[0]; !strings.Contains(s.PlaceNote,
		"do not say") || s.Places != nil {
		t.Errorf("the places are %+v, %q", s.Places, s.PlaceNote)
	}
}

// TestPairsHavePlaces writes the place that the run's placement tells where no node is known, so
// that the filter of the page says what the table of places does.
func TestPairsHavePlaces(t *testing.T) {
	source := sourceOf(sampleAt(1, 1, 2))
	source.Settings = setting.All()
	source.Run.Scenarios = []result.Scenario{{Scenario: "policy-deny",
		Settings: setting.Record{"placement": []byte(`"same-node"`)}}}
	s := newRun(report.Build(source)[0], 1).Sections[0]
	if got := s.Data.Pairs.Texts[s.Data.Pairs.Place[0]]; got != string(report.PlaceSame) {
		t.Errorf("the place of the pair is %q; want %q", got, report.PlaceSame)
	}

	script, err := files.ReadFile("assets/pairs.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []report.Place{report.PlaceSame, report.PlaceOther} {
		if !strings.Contains(string(script), fmt.Sprintf("%q", string(place))) {
			t.Errorf("the filter of pairs does not know the place %q", place)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var samples []measure.Sample
	for i := range 20 {
		samples = append(samples, sampleAt(i, float64(10*i), float64(10*i+4)))
		samples[i].Iteration = i // of one iteration they would have no interval
	}
	s := newRun(report.Build(sourceOf(samples...))[0], 1).Sections[0]
	for _, want := range []quantileRow{
		{"median", "92.0ms", "52.0ms to 142ms", "4.00ms"}, {"p99", "192ms", "182ms to -", "4.00ms"},
		{"maximum", "192ms", "-", "4.00ms"},
	} {
		found := false
		for _, row := range s.Quantiles {
			found = found || row == want
		}
		if !found {
			t.Errorf("the quantiles lack %+v: %+v", want, s.Quantiles)
		}
	}
}
