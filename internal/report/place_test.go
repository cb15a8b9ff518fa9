// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// TestPlace tells for a pair whether its pods were on one node: text, JSON and HTML read it here.
func TestPlace(t *testing.T) {
	pair := func(target, clientNode, targetNode string) measure.Sample {
		return measure.Sample{
			Scenario: "policy-deny", ClientNode: clientNode, TargetNode: targetNode,
			Client: measure.Object{UID: "client"},
			Target: measure.Target{Pod: measure.Object{UID: target}},
		}
	}
	tests := []struct {
		name    string
		sample  measure.Sample
		ran     result.Scenario
		place   Place
		client  string
		target  string
		because string
	}{
		{
			name: "the sample names one node", sample: pair("a", "node-0", "node-0"),
			place: PlaceSame, client: "node-0", target: "node-0", because: "it knows best",
		},
		{
			name: "the sample names two nodes", sample: pair("a", "node-0", "node-1"),
			ran: result.Scenario{AgentNodes: []string{"node-0"},
				TargetNodes: []string{"node-0"}},
			place: PlaceOther, client: "node-0", target: "node-1", because: "it knows best",
		},
		{
			name: "another sample of the pod names its node", sample: pair("known", "node-0", ""),
			place: PlaceOther, client: "node-0", target: "node-1",
			because: "a pod stays where it is",
		},
		{
			name: "all pods of a kind were on one node", sample: pair("a", "", ""),
			ran: result.Scenario{AgentNodes: []string{"node-0"},
				TargetNodes: []string{"node-0"}},
			place: PlaceSame, client: "node-0", target: "node-0",
			because: "there was no other node",
		},
		{
			name: "agents and targets had no node in common", sample: pair("a", "", ""),
			ran:   result.Scenario{AgentNodes: []string{"x"}, TargetNodes: []string{"y", "z"}},
			place: PlaceOther, client: "x", because: "whichever node it was, it was another one",
		},
		{
			name:   "the targets were spread, one of them beside the agent",
			sample: pair("a", "", ""),
			ran:    result.Scenario{AgentNodes: []string{"x"}, TargetNodes: []string{"x", "z"}},
			place:  PlaceUnknown, client: "x", because: "it may have been either",
		},
		{
			name: "the run placed its pods on one node", sample: pair("a", "", ""),
			ran:   result.Scenario{Settings: setting.Record{"placement": []byte(`"same-node"`)}},
			place: PlaceSame, because: "it was asked for, and nothing says that it failed",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.ran.Scenario = "policy-deny"
			nodes := NewNodes(Source{
				Settings: setting.All(), Samples: []measure.Sample{pair("known", "", "node-1"),
					test.sample},
				Run: result.Run{Scenarios: []result.Scenario{test.ran}},
			})
			client, target := nodes.Of(test.sample)
			if client != test.client || target != test.target {
				t.Errorf("the nodes are %q and %q; want %q and %q", client, target, test.client,
					test.target)
			}
			if got := nodes.Place(test.sample); got != test.place {
				t.Errorf("it is %q; want %q: %s", got, test.place, test.because)
			}
		})
	}
}

// TestPlacesOfOneCluster compares the pairs of two runs with the contrary placement only where
// these can have been in one cluster.
func TestPlacesOfOneCluster(t *testing.T) {
	began := time.Unix(1000, 0)
	source := func(targetNode string, run result.Run) Source {
		return Source{Settings: setting.All(), Run: run, Samples: []measure.Sample{{
			Scenario: "policy-deny", Status: measure.Measured, Want: measure.StateBlocked,
			ClientNode: "node-0", TargetNode: targetNode,
			Start:   measure.Start{Source: measure.StartWrite, At: began},
			Bracket: measure.Bracket{Lower: began.Add(1e6), Upper: began.Add(2e6)},
		}}}
	}
	first := result.Run{
		Context: "a", Kubernetes: "v1.37.2", Plugins: []result.Plugin{{Name: "x"}},
		Nodes: []result.Node{{Name: "node-0"}, {Name: "node-1"}},
	}
	for _, test := range []struct {
		name   string
		change func(*result.Run)
		want   bool
	}{
		{"alike", func(*result.Run) {}, true},
		{"a node is gone", func(r *result.Run) { r.Nodes = r.Nodes[:1] }, true},
		{"a run of an earlier version, which noted less", func(r *result.Run) {
			r.Context, r.Plugins, r.Nodes = "", nil, nil
		}, true},
		{"another context", func(r *result.Run) { r.Context = "b" }, false},
		{"another version of Kubernetes", func(r *result.Run) { r.Kubernetes = "v1.36.0" }, false},
		{"another plugin", func(r *result.Run) { r.Plugins = []result.Plugin{{Name: "y"}} }, false},
		{"other nodes", func(r *result.Run) { r.Nodes = []result.Node{{Name: "n"}} }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			second := first
			test.change(&second)
			reports := Build(source("node-0", first), source("node-1", second))
			for _, one := range reports {
				if got := one.Results[0].Compared != nil; got != test.want {
					t.Errorf("the pairs are compared: %t; want %t", got, test.want)
				}
			}
		})
	}
}
