// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func namespaceLabel() Scenario {
	return Scenario{
		Name: "namespace-label",
		Summary: "The label of a namespace changes: its pods move into, and out of, what a " +
			"policy selects.",
		Detail: "The peers' namespace is labelled: that of the targets (egress) or of the agents " +
			"(ingress).\n" +
			"namespace-label/in: until allowed. namespace-label/out: until blocked.",
		OwnNamespaces: "labels a namespace",
		Groups:        onlyA,
		Setup: func(w Parameters) [][]runtime.Object {
			p := w.allow("allow", GroupA, Port)
			peer := networkingv1.NetworkPolicyPeer{
				NamespaceSelector: &metav1.LabelSelector{
					MatchLabels: map[string]string{SideLabel: "in"},
				},
			}
			w.setRule(p, []networkingv1.NetworkPolicyPeer{peer}, Port)
			return layer(p, w.isolation()) // isolation last: when it is seen, the other is in force
		},
		Parts: func(w Parameters) []Part {
			name := w.TargetNamespace
			if w.Direction == setting.Ingress {
				name = w.AgentNamespace
			}
			namespace := func(labels map[string]string) []runtime.Object {
				return []runtime.Object{&metav1.PartialObjectMetadata{
					TypeMeta: metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(),
						Kind: "Namespace"},
					ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
				}}
			}
			return inAndOut(namespace(map[string]string{SideLabel: "in"}), namespace(nil))
		},
	}
}
