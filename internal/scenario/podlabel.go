// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func podLabel() Scenario {
	return Scenario{
		Name:    "pod-label",
		Summary: "The label of a pod changes: it moves into, and out of, what a policy selects.",
		Detail: "The agents' pods are labelled. The policy selects them as its subject (egress) " +
			"or as its peer\n" +
			"(ingress). pod-label/in: until allowed. pod-label/out: until blocked.",
		Groups: onlyA,
		Setup: func(w Parameters) [][]runtime.Object {
			p := w.byPods().allow("allow", GroupA, Port)
			if w.Direction == setting.Ingress {
				p.Spec.Ingress[0].From[0].PodSelector.MatchLabels[SideLabel] = "in"
			} else {
				p.Spec.PodSelector.MatchLabels[SideLabel] = "in"
			}
			return layer(p, w.isolation()) // isolation last: when it is seen, the other is in force
		},
		Parts: func(w Parameters) []Part {
			var in, out []runtime.Object
			for _, name := range w.AgentPods {
				in = append(in, labelled(name, w.AgentNamespace,
					map[string]string{SideLabel: "in"}))
				out = append(out, labelled(name, w.AgentNamespace, nil))
			}
			return inAndOut(in, out)
		},
	}
}

// labelled is what an apply of a pod's label sends: labels that it had from an earlier apply and
// that are not in it are removed.
func labelled(name, namespace string, labels map[string]string) runtime.Object {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels},
	}
}

// inAndOut are the two parts of a scenario that moves something into a selection that allows.
func inAndOut(in, out []runtime.Object) []Part {
	return []Part{
		{
			Name:   "in",
			Change: Change{Apply: in},
			Expect: []Expect{{Group: GroupA, Port: Port, Want: measure.StateAllowed}},
		},
		{
			Name:   "out",
			Change: Change{Apply: out},
			Expect: []Expect{{Group: GroupA, Port: Port, Want: measure.StateBlocked}},
		},
	}
}
