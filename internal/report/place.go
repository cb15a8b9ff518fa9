// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Place is where the two pods of pairs were.
type Place string

// The places.
const (
	PlaceUnknown Place = ""
	PlaceSame    Place = "same node"
	PlaceOther   Place = "other nodes"
)

// Nodes knows on which nodes the pods of a run were, as far as its records tell.
type Nodes struct {
	of        map[string]string // by UID of the pod
	scenarios []result.Scenario
	settings  setting.Table // what the run could note
}

// NewNodes reads the nodes from the samples of a run, and from what it says about its scenarios.
func NewNodes(source Source) Nodes {
	n := Nodes{
		of: make(map[string]string), scenarios: source.Run.Scenarios, settings: source.Settings,
	}

	for _, s := range source.Samples {
		if s.ClientNode != "" {
			n.of[s.Client.UID] = s.ClientNode
		}
		if s.TargetNode != "" {
			n.of[s.Target.Pod.UID] = s.TargetNode
		}
	}

	delete(n.of, "")
	return n
}

// Of are the nodes of a sample's two pods: as it says itself, as another sample of the same pod
// says, or the only node that pods of that kind were on.
func (n Nodes) Of(s measure.Sample) (client, target string) {
	find := func(says, uid string, all []string) string {
		switch {
		case says != "":
			return says
		case n.of[uid] != "":
			return n.of[uid]
		case len(all) == 1:
			return all[0]
		}
		return ""
	}

	played := n.scenario(s)
	return find(s.ClientNode, s.Client.UID, played.AgentNodes),
		find(s.TargetNode, s.Target.Pod.UID, played.TargetNodes)
}

// Place is where the two pods of a sample were. Where their nodes are not known, how the run placed
// its pods tells.
func (n Nodes) Place(s measure.Sample) Place {
	client, target := n.Of(s)
	played := n.scenario(s)
	shared := func(node string) bool { return slices.Contains(played.AgentNodes, node) }
	apart := len(played.AgentNodes) > 0 && len(played.TargetNodes) > 0 &&
		!slices.ContainsFunc(played.TargetNodes, shared)

	switch known := client != "" && target != ""; {
	case known && client == target, !known && n.placement(played) == setting.PlaceSame:
		return PlaceSame
	case known, apart, n.placement(played) == setting.PlaceOther:
		return PlaceOther
	}
	return PlaceUnknown
}

// placement is how the run placed the pods of a scenario, empty if it did not note it.
func (n Nodes) placement(played result.Scenario) string {
	field, err := n.settings.Find("placement")
	if err != nil {
		return ""
	}
	return field.RecallText(played.Settings)
}

// scenario is what run.json says about the scenario of a sample.
func (n Nodes) scenario(s measure.Sample) result.Scenario {
	for _, one := range n.scenarios {
		if one.Setting == s.Setting && partOf(s.Scenario, one.Scenario) {
			return one
		}
	}
	return result.Scenario{}
}

// partOf reports whether a result is of a scenario or of one of its parts.
func partOf(name, scenario string) bool {
	return name == scenario || len(name) > len(scenario) && name[:len(scenario)+1] == scenario+"/"
}

// Places are the samples of a result by where their pods were.
type Places map[Place][]measure.Sample

// split divides samples by where their pods were.
func (n Nodes) split(samples []measure.Sample) Places {
	all := make(Places)
	for _, s := range samples {
		place := n.Place(s)
		all[place] = append(all[place], s)
	}
	return all
}

// Only is the place of all samples, unknown if they were in several.
func (p Places) Only() Place {
	for _, place := range []Place{PlaceSame, PlaceOther} {
		if len(p) == 1 && len(p[place]) > 0 {
			return place
		}
	}
	return PlaceUnknown
}
