// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/overlay"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// mostNodes is how many nodes are asked whether pods of the run may be there: where so many will
// not have them no other will.
const mostNodes = 200

// choosePlace picks the node of the agents, if it matters where they are, among those that take the
// pods of the run.
func (e *environment) choosePlace(ctx context.Context) error {
	needed := map[string]int{setting.PlaceSame: 1, setting.PlaceOther: 2}[e.options.Placement]
	if needed == 0 {
		return nil
	}
	nodes, err := e.cluster.Nodes(ctx)
	if err != nil {
		return err
	}

	looked := nodes[:min(len(nodes), mostNodes)]
	suited, reasons, err := suitable(ctx, e.cluster, e.options.Overlay, looked, needed)
	if err != nil {
		return err
	}
	if len(suited) == needed {
		e.node = suited[0]
		return nil
	}

	return fmt.Errorf("place pods with --placement %s: expected %d or more nodes that take them, "+
		"or --placement any: %d of %d do%s", e.options.Placement, needed, len(suited), len(nodes),
		leftOut(reasons))
}

// suitable are the host names of nodes that take the pods of a run, up to so many, and why those
// before them do not.
func suitable(
	ctx context.Context, cluster *kube.Cluster, over overlay.Overlay, nodes []metav1.ObjectMeta,
	most int,
) (hosts, reasons []string, err error) {
	for _, about := range nodes {
		node, err := cluster.Node(ctx, about.Name)
		if err != nil {
			return nil, nil, err
		}
		if reason := over.Unsuited(node); reason != "" {
			reasons = append(reasons, fmt.Sprintf("%s (%s)", node.Name, reason))
			continue
		}
		if hosts = append(hosts, node.Labels[corev1.LabelHostname]); len(hosts) == most {
			break
		}
	}
	return hosts, reasons, nil
}

// perNode are the options with an agent and a target on each node that takes them.
func (r *Runner) perNode(ctx context.Context) (Options, error) {
	o := r.Options
	nodes, err := r.Cluster.Nodes(ctx)
	if err != nil {
		return o, err
	}

	suited, reasons, err := suitable(ctx, r.Cluster, o.Overlay, nodes, len(nodes))
	if err != nil {
		return o, err
	}
	if o.Agents = len(suited); o.Agents == 0 {
		return o, fmt.Errorf("place pods with --per-node: expected nodes that take them: none of "+
			"%d does%s", len(nodes), leftOut(reasons))
	}
	o.Targets = max(o.Targets, o.Agents)
	return o, nil
}

// leftOut says which nodes do not take pods, and why, the first few of them.
func leftOut(reasons []string) string {
	const shown = 5
	if len(reasons) == 0 {
		return ""
	}
	text := "; not " + strings.Join(reasons[:min(shown, len(reasons))], ", ")
	if more := len(reasons) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// place puts targets on the node of the agents, or on others.
func (e *environment) place() *corev1.Affinity {
	if e.options.Placement == setting.PlaceAny {
		return nil
	}
	operator := corev1.NodeSelectorOpIn
	if e.options.Placement == setting.PlaceOther {
		operator = corev1.NodeSelectorOpNotIn
	}
	return nodeAffinity(operator, e.node)
}

func nodeAffinity(operator corev1.NodeSelectorOperator, node string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: operator, Values: []string{node},
				}},
			}},
		},
	}}
}

// spread prefers to put pods of a role on as many nodes as there are: those on one node share its
// processors and its table of connections. Where there is to be one on every node, it insists.
func (e *environment) spread(role string) []corev1.TopologySpreadConstraint {
	otherwise := corev1.ScheduleAnyway
	if e.options.Disruption.PerNode {
		otherwise = corev1.DoNotSchedule
	}
	return []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname,
		WhenUnsatisfiable: otherwise,
		LabelSelector: &metav1.LabelSelector{
			MatchLabels: e.scoped(map[string]string{scenario.RoleLabel: role}),
		},
	}}
}
