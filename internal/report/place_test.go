// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"

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
