// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

func onNodes(s measure.Sample, client, target string) measure.Sample {
	s.ClientNode, s.TargetNode = client, target
	return s
}

func TestPlaces(t *testing.T) {
	named, unnamed := onNodes(sampleAt(1, 1, 2), "node-0", "node-1"), sampleAt(1, 3, 4)
	source := sourceOf(named, unnamed, sampleAt(2, 5, 6))
	p := newPlaces(source)
	for _, test := range []struct {
		name           string
		sample         measure.Sample
		client, target string
	}{
		{"says itself", named, "node-0", "node-1"},
		{"another sample says", unnamed, "node-0", "node-1"},
		{"nothing says", sampleAt(2, 5, 6), "node-0", ""},
	} {
		if client, target := p.nodes(test.sample); client != test.client || target != test.target {
			t.Errorf("%s: %q and %q; want %q and %q", test.name, client, target, test.client, test.target)
		}
	}
	same, other, unknown := p.split(source.Samples)
	if len(same) != 0 || len(other) != 2 || len(unknown) != 1 {
		t.Errorf("%d on the same node, %d on others, %d not known; want 0, 2, 1", len(same), len(other), len(unknown))
	}
	source.Run.Scenarios[0].Settings.Placement = "same-node"
	if same, _, _ := newPlaces(source).split(source.Samples[2:]); len(same) != 1 {
		t.Error("how the run placed its pods does not count")
	}
}

func TestSectionComparesPlaces(t *testing.T) {
	both := sourceOf(onNodes(sampleAt(1, 1, 2), "node-0", "node-0"), onNodes(sampleAt(2, 9, 11), "node-0", "node-1"))
	s := newRun(both, 1).Sections[0]
	if len(s.Places) != 2 || s.Places[0].Median.Value != "1.50 ms" || s.Places[1].Median.Value != "10.0 ms" || len(s.Data.Curves) != 3 {
		t.Errorf("the places are %+v with %d curves", s.Places, len(s.Data.Curves))
	}
	nowhere := sourceOf(sampleAt(1, 1, 2))
	nowhere.Run.Scenarios = nil
	if s := newRun(nowhere, 1).Sections[0]; !strings.Contains(s.PlaceNote, "do not say") || s.Places != nil {
		t.Errorf("the places are %+v, %q", s.Places, s.PlaceNote)
	}
}

func TestQuantiles(t *testing.T) {
	var samples []measure.Sample
	for i := range 20 {
		samples = append(samples, sampleAt(i, float64(10*i), float64(10*i+4)))
	}
	s := newRun(sourceOf(samples...), 1).Sections[0]
	for _, want := range []quantileRow{
		{"median", "92.0 ms", "52.0 ms to 142 ms", "4.00 ms"}, {"p99", "192 ms", "182 ms to ?", "4.00 ms"}, {"maximum", "192 ms", "–", "4.00 ms"},
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
