// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"strconv"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Who names one image means all pods: the targets are of the agents' image, and told to serve,
// unless they have one of their own, which serves by itself.
func TestImageOfTargets(t *testing.T) {
	for name, test := range map[string]struct {
		agents, targets string
		want            string
		serves          bool
	}{
		"default":         {agents: DefaultImage, want: DefaultImage, serves: true},
		"one image":       {agents: "registry.example/a", want: "registry.example/a", serves: true},
		"the same twice":  {agents: "a", targets: "a", want: "a", serves: true},
		"another":         {agents: DefaultImage, targets: "nginx", want: "nginx"},
		"the default one": {agents: "a", targets: DefaultImage, want: DefaultImage},
	} {
		t.Run(name, func(t *testing.T) {
			options := DefaultOptions()
			options.AgentImage = test.agents
			if test.targets != "" {
				options.TargetImage = test.targets
			}
			container := (&environment{options: options}).targetSpec().Containers[0]
			if container.Image != test.want || (len(container.Args) > 0) != test.serves {
				t.Errorf("targets are of %q with the arguments %q; want %q, told to serve: %v",
					container.Image, container.Args, test.want, test.serves)
			}
		})
	}
}

// TestConntrackShare counts among how many agents a node's connection tracking table is shared: a
// probe is on the node of its agent and on that of its target.
func TestConntrackShare(t *testing.T) {
	for _, test := range []struct {
		name            string
		agents, targets []string // their nodes
		want            int
	}{
		{"one agent", []string{"a"}, []string{"a", "b"}, 1},
		{"agents on one node", []string{"a", "a", "a"}, []string{"a", "b", "b", "b"}, 3},
		{"agents on nodes of their own", []string{"a", "b"}, []string{"c", "d", "e", "f"}, 1},
		{"targets on the nodes of the agents", []string{"a", "b"}, []string{"a", "b"}, 2},
		{"targets on one other node", []string{"a", "b", "c"}, []string{"d", "d"}, 3},
		{"targets that come later", []string{"a", "b"}, nil, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &environment{
				collector: newCollector(kube.Namespace{}, setting.ClockAuto),
				pods:      make(map[string][]corev1.Pod),
			}
			e.options.Agents = len(test.agents)
			for number, node := range test.agents {
				e.collector.agents[strconv.Itoa(number)] = &agentLog{node: node}
			}
			for _, node := range test.targets {
				e.pods["a"] = append(e.pods["a"], corev1.Pod{Spec: corev1.PodSpec{NodeName: node}})
			}
			if got := e.share(); got != test.want {
				t.Errorf("a table is shared among %d agents; want %d", got, test.want)
			}
		})
	}
}

// TestAgentsAreSpread asks for a node of its own for each agent, and does without.
func TestAgentsAreSpread(t *testing.T) {
	s, err := scenario.Find("policy-deny")
	check(t, err)
	e := newEnvironment(DefaultOptions(), s, nil, nil, func(Progress) {})
	spec := e.agents().(*batchv1.Job).Spec.Template
	if len(spec.Spec.TopologySpreadConstraints) != 1 {
		t.Fatalf("the agents have no wish where to be: %+v", spec.Spec)
	}
	spread := spec.Spec.TopologySpreadConstraints[0]
	selector, err := metav1.LabelSelectorAsSelector(spread.LabelSelector)
	check(t, err)
	if !selector.Matches(labels.Set(spec.Labels)) || spread.TopologyKey != corev1.LabelHostname ||
		spread.WhenUnsatisfiable != corev1.ScheduleAnyway {
		t.Errorf("the agents are spread by %+v", spread)
	}
}
