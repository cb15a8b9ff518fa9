// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// places know on which nodes the pods of a run were, as far as its records tell.
type places struct {
	nodeOf map[string]string // by UID of the pod
	played []result.Scenario
}

func newPlaces(source report.Source) places {
	p := places{nodeOf: make(map[string]string), played: source.Run.Scenarios}
	for _, s := range source.Samples {
		if s.ClientNode != "" {
			p.nodeOf[s.Client.UID] = s.ClientNode
		}
		if s.TargetNode != "" {
			p.nodeOf[s.Target.Pod.UID] = s.TargetNode
		}
	}
	delete(p.nodeOf, "")
	return p
}

// nodes are the nodes of a sample's two pods: as it says itself, as another sample of the same pod says, or the only
// node that pods of that kind were on.
func (p places) nodes(s measure.Sample) (client, target string) {
	client, target = s.ClientNode, s.TargetNode
	if client == "" {
		client = p.nodeOf[s.Client.UID]
	}
	if target == "" {
		target = p.nodeOf[s.Target.Pod.UID]
	}
	played := p.scenario(s)
	if client == "" && len(played.AgentNodes) == 1 {
		client = played.AgentNodes[0]
	}
	if target == "" && len(played.TargetNodes) == 1 {
		target = played.TargetNodes[0]
	}
	return client, target
}

// scenario is what run.json says about the scenario of a sample.
func (p places) scenario(s measure.Sample) result.Scenario {
	for _, one := range p.played {
		part := s.Scenario == one.Scenario || strings.HasPrefix(s.Scenario, one.Scenario+"/")
		if part && s.Setting == one.Setting {
			return one
		}
	}
	return result.Scenario{}
}

// split divides samples by whether both pods of the pair were on the same node. Where the nodes are not known, how the
// run placed its pods tells.
func (p places) split(samples []measure.Sample) (same, other, unknown []measure.Sample) {
	for _, s := range samples {
		client, target := p.nodes(s)
		placement := p.scenario(s).Settings.Placement
		known := client != "" && target != ""
		switch {
		case known && client == target, !known && placement == "same-node":
			same = append(same, s)
		case known, placement == "other-node":
			other = append(other, s)
		default:
			unknown = append(unknown, s)
		}
	}
	return same, other, unknown
}

// placeRow is the latency of the pairs that were placed in one way.
type placeRow struct {
	Name        string
	Of          string
	Median, P99 quantileRow
}

func placeRows(same, other, unknown []measure.Sample) []placeRow {
	var rows []placeRow
	for _, group := range []struct {
		name    string
		samples []measure.Sample
	}{{"same node", same}, {"other node", other}, {"not known", unknown}} {
		if len(group.samples) == 0 {
			continue
		}
		summary := measure.Summarize(group.name, group.samples)
		rows = append(rows, placeRow{
			Name: group.name, Median: newQuantileRow(summary, 0.5), P99: newQuantileRow(summary, 0.99),
			Of: fmt.Sprintf("%d of %d", summary.Account.Count(measure.Measured), summary.Account.Expected),
		})
	}
	return rows
}
