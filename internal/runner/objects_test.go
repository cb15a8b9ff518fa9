// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
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
			if (container.StartupProbe == nil) != test.serves {
				t.Errorf("whether it listens is asked by %v", container.StartupProbe)
			}
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

// TestLeftovers has scenarios come one after the other: a plan says what the agents of those before
// may have left in a table, until it is gone.
func TestLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stay = 2 * time.Minute
		var earlier []leftover
		for _, test := range []struct {
			entries []int // that each agent may have left
			left    int   // that there is then
		}{
			{[]int{1000}, 1000},
			{[]int{200, 400}, 1600}, // on one node
			{nil, 600},              // the first are gone
		} {
			e := &environment{
				collector: newCollector(kube.Namespace{}, setting.ClockAuto),
			}
			e.options.Agents = len(test.entries)
			for number, entries := range test.entries {
				agent := &agentLog{node: "a"}
				e.collector.agents[strconv.Itoa(number)] = agent
				line := protocol.Line{Finished: &protocol.Finished{
					Entries: entries, Stay: stay,
				}}
				check(t, e.collector.record(agent, line, time.Now()))
			}

			earlier = append(earlier, e.leftover())
			if got := leftAt(time.Now(), earlier); got != test.left {
				t.Errorf("after agents with %v there are %d entries; want %d", test.entries, got,
					test.left)
			}
			time.Sleep(stay * 2 / 3)
		}
	})
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

// TestCiliumsWords lets agents reach the API server in Cilium's own words where the API has them, a
// guest's too, and nowhere else.
func TestCiliumsWords(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(scenario.CiliumPolicies().GroupVersion().WithKind("CiliumNetworkPolicy"),
		meta.RESTScopeNamespace)
	for _, test := range []struct {
		name   string
		mapper meta.RESTMapper
		want   bool
	}{
		{"Cilium", mapper, true}, {"another plugin", meta.NewDefaultRESTMapper(nil), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, e := range []*environment{
				asGuest("x", 0, "policy-deny", setting.Egress), ownChange(nil),
			} {
				e.cluster = kube.NewCluster(nil, nil, nil, test.mapper)
				at := slices.IndexFunc(e.objects(), func(object runtime.Object) bool {
					return object.GetObjectKind().GroupVersionKind().Group == "cilium.io"
				})
				if (at >= 0) != test.want {
					t.Fatalf("its policy is object %d", at)
				}
				if at < 0 {
					continue
				}
				object := e.objects()[at].(*unstructured.Unstructured)
				selected, _, err := unstructured.NestedStringMap(object.Object, "spec",
					"endpointSelector", "matchLabels")
				check(t, err)
				agents, _, _ := e.finalLabels()
				if !labels.SelectorFromSet(selected).Matches(agents) {
					t.Errorf("it is about pods with %v", selected)
				}
			}
		})
	}
}

// TestWithoutWords has a guest who may write no policy of Cilium's do without.
func TestWithoutWords(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(scenario.CiliumPolicies().GroupVersion().WithKind("CiliumNetworkPolicy"),
		meta.RESTScopeNamespace)
	for _, may := range []bool{true, false} {
		client := fake.NewClientset()
		client.PrependReactor("create", "selfsubjectaccessreviews",
			func(action clienttesting.Action) (bool, runtime.Object, error) {
				review := action.(clienttesting.CreateAction).GetObject().
					DeepCopyObject().(*authorizationv1.SelfSubjectAccessReview)
				review.Status.Allowed = may
				return true, review, nil
			})
		said := ""
		e := asGuest("x", 0, "policy-deny", setting.Egress)
		e.progress = func(p Progress) { said = p.Problem }
		e.cluster = kube.NewCluster(client, nil, nil, mapper)
		check(t, e.checkWords(t.Context()))
		writes := slices.ContainsFunc(e.objects(), func(object runtime.Object) bool {
			return object.GetObjectKind().GroupVersionKind().Group == "cilium.io"
		})
		if writes != may || (said == "") != may {
			t.Errorf("who may: %v writes one: %v, and is told %q", may, writes, said)
		}
	}
}

// TestObjectsOfOwnChange looks at what a run creates for a change of the user's own: one namespace
// with the labels that its policies select, a further one for what is in neither, and targets that
// serve a privileged port under its name. Labels of the user are on the pods alone.
func TestObjectsOfOwnChange(t *testing.T) {
	trigger := scenario.Trigger{
		Agents: scenario.Pods{NamespaceLabels: map[string]string{"team": "red"}},
		Targets: scenario.Pods{
			Labels:          map[string]string{PartOfLabel: "shop"},
			NamespaceLabels: map[string]string{"team": "red"},
		},
		SameNamespace: true, Others: []map[string]string{nil},
		Port: scenario.TargetPort{Number: 443, Name: "https"},
	}
	options := DefaultOptions()
	options.RunID, options.Trigger = "x", &trigger
	options.Protocol = setting.UDP
	e := newEnvironment(options, scenario.Custom(trigger), nil, nil, nil)

	want := []string{"netpol-latency-x-0-policy-targets", "netpol-latency-x-0-policy-other-0"}
	var names []string
	for _, object := range e.namespaces() {
		namespace := object.(*corev1.Namespace)
		names = append(names, namespace.Name)
		if (namespace.Labels["team"] == "red") != (namespace.Name == want[0]) {
			t.Errorf("namespace %s has the labels %v", namespace.Name, namespace.Labels)
		}
		if !namespaceOf("x").MatchString(namespace.Name) {
			t.Errorf("cleanup does not take %s for one of the run", namespace.Name)
		}
	}
	for _, object := range e.objects() {
		if name := object.(metav1.Object).GetName(); !strings.HasPrefix(name, ownPrefix) {
			t.Errorf("an object of the user's may be called %s, too", name)
		}
	}
	if !slices.Equal(names, want) || !slices.Equal(e.namespaceNames(), want) {
		t.Errorf("the namespaces are %q and %q; want %q", names, e.namespaceNames(), want)
	}

	deployment := e.targets(e.groups()[0])[0].(*appsv1.Deployment)
	pod := deployment.Spec.Template
	if deployment.Labels[PartOfLabel] != PartOf || pod.Labels[PartOfLabel] != "shop" ||
		pod.Labels[RunLabel] != "x" || deployment.Spec.Selector.MatchLabels[PartOfLabel] != "" {
		t.Errorf("labels of the user are on more than the pods: %v, %v", deployment.Labels,
			pod.Labels)
	}
	container, sysctls := pod.Spec.Containers[0], pod.Spec.SecurityContext.Sysctls
	if len(container.Ports) != 1 || container.Ports[0] != (corev1.ContainerPort{Name: "https",
		ContainerPort: 443, Protocol: corev1.ProtocolUDP}) ||
		strings.Join(container.Args, " ") != "serve --udp=443" || len(sysctls) != 1 {
		t.Errorf("targets serve %v with %q and %v", container.Ports, container.Args, sysctls)
	}
}
