// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
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
	PlaceSame    Place = "same-node"
	PlaceOther   Place = "cross-node"
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

	ran := n.scenario(s)
	return find(s.ClientNode, s.Client.UID, ran.AgentNodes),
		find(s.TargetNode, s.Target.Pod.UID, ran.TargetNodes)
}

// Place is where the two pods of a sample were. Where their nodes are not known, how the run placed
// its pods tells.
func (n Nodes) Place(s measure.Sample) Place {
	client, target := n.Of(s)
	ran := n.scenario(s)
	shared := func(node string) bool { return slices.Contains(ran.AgentNodes, node) }
	apart := len(ran.AgentNodes) > 0 && len(ran.TargetNodes) > 0 &&
		!slices.ContainsFunc(ran.TargetNodes, shared)

	switch known := client != "" && target != ""; {
	case known && client == target, !known && n.placement(ran) == setting.PlaceSame:
		return PlaceSame
	case known, apart, n.placement(ran) == setting.PlaceOther:
		return PlaceOther
	}
	return PlaceUnknown
}

// placement is how the run placed the pods of a scenario, empty if it did not note it.
func (n Nodes) placement(ran result.Scenario) string {
	field, err := n.settings.Find("placement")
	if err != nil {
		return ""
	}
	return field.RecallText(ran.Settings)
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

// Located are the pairs of a result that were in one place, with what was measured of them.
type Located struct {
	Place   Place
	Samples []measure.Sample
	Summary measure.Summary
	Cells   []Cell
}

// Places are the pairs of a result by where their pods were: same-node, cross-node, unknown.
type Places []Located

// split divides samples by where their pods were.
func (n Nodes) split(samples []measure.Sample) Places {
	byPlace := make(map[Place][]measure.Sample)
	for _, s := range samples {
		place := n.Place(s)
		byPlace[place] = append(byPlace[place], s)
	}

	var all Places
	for _, place := range []Place{PlaceSame, PlaceOther, PlaceUnknown} {
		found := byPlace[place]
		if len(found) == 0 {
			continue
		}
		summary := measure.Summarize(found[0].Scenario, found)
		all = append(all, Located{place, found, summary, Cells(summary)})
	}
	return all
}

// find is what was in a place, nothing if no pair was.
func (p Places) find(place Place) Located {
	for _, one := range p {
		if one.Place == place {
			return one
		}
	}
	return Located{}
}

// Only is the place of all samples, unknown if they were in several.
func (p Places) Only() Place {
	if len(p) != 1 {
		return PlaceUnknown
	}
	return p[0].Place
}

// PlaceComparison holds the pairs of a scenario on one node against those on two. They are of one
// result, or of two that were run alike but for the placement.
type PlaceComparison struct {
	// Name is the scenario with its setting, but for the placement.
	Name        string
	Same, Other Located
}

// whole reports whether both sides have a latency.
func (c PlaceComparison) whole() bool {
	return c.Same.Summary.HasLatency() && c.Other.Summary.HasLatency()
}

// String is the comparison in a line.
func (c PlaceComparison) String() string {
	of := func(name string) string {
		return fmt.Sprintf("%s %s and %s", name, FindCell(c.Same.Cells, name).Value,
			FindCell(c.Other.Cells, name).Value)
	}
	return fmt.Sprintf("%s vs %s: %s: %s, %s", PlaceSame, PlaceOther, c.Name, of("p50"),
		of("p99"))
}

// comparePlaces finds for each result the comparison of places that it is in. One that has pairs in
// both is compared with itself, others with the first that was run alike in the same cluster but
// for the placement.
func comparePlaces(reports []Report) {
	type single struct {
		result     *Result
		comparison *PlaceComparison
	}
	type shared struct {
		PlaceComparison
		run result.Run // the first
	}
	var singles []single
	byName := make(map[string][]*shared)
	for _, report := range reports {
		for i := range report.Results {
			one := &report.Results[i]
			own := PlaceComparison{
				Name: report.Nodes.nameApart(one.Result), Same: one.Places.find(PlaceSame),
				Other: one.Places.find(PlaceOther),
			}
			if own.whole() {
				one.Compared = &own
				continue
			}

			alike := byName[own.Name]
			at := slices.IndexFunc(alike, func(s *shared) bool {
				return sameCluster(s.run, report.Run)
			})
			if at < 0 {
				at, alike = len(alike), append(alike, &shared{
					PlaceComparison{Name: own.Name}, report.Run,
				})
				byName[own.Name] = alike
			}

			first := &alike[at].PlaceComparison
			if !first.Same.Summary.HasLatency() {
				first.Same = own.Same
			}
			if !first.Other.Summary.HasLatency() {
				first.Other = own.Other
			}
			singles = append(singles, single{one, first})
		}
	}

	for _, one := range singles {
		if one.comparison.whole() {
			one.result.Compared = one.comparison
		}
	}
}

// sameCluster reports whether two runs can have been in one cluster, as it was. What one of them
// did not note is not held against it.
func sameCluster(a, b result.Run) bool {
	alike := func(a, b string) bool { return a == b || a == "" || b == "" }
	nodes := len(a.Nodes) == 0 || len(b.Nodes) == 0 ||
		slices.ContainsFunc(a.Nodes, func(one result.Node) bool {
			return slices.ContainsFunc(b.Nodes, func(other result.Node) bool {
				return one.Name == other.Name
			})
		})
	plugins := len(a.Plugins) == 0 || len(b.Plugins) == 0 || slices.Equal(a.Plugins, b.Plugins)
	return alike(a.Context, b.Context) && alike(a.Kubernetes, b.Kubernetes) && nodes && plugins
}

// nameApart names a result without the placement among its settings.
func (n Nodes) nameApart(one measure.Result) string {
	label := one.Summary.Setting
	if ran := n.scenario(one.Samples[0]); len(ran.Settings) > 0 {
		rest := slices.DeleteFunc(slices.Clone(n.settings), func(f setting.Field) bool {
			return f.Name == "placement"
		})
		label = rest.Label(rest.Recall(ran.Settings))
	}
	return measure.ResultName(one.Summary.Scenario, label)
}

// placements are the comparisons of places, one for each name: that of the first run that has it.
func placements(reports []Report) []string {
	var lines []string
	named := make(map[string]bool)
	for _, report := range reports {
		for _, one := range report.Results {
			if one.Compared != nil && !named[one.Compared.Name] {
				named[one.Compared.Name] = true
				lines = append(lines, one.Compared.String())
			}
		}
	}
	return lines
}
