// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
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
