// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// CiliumPolicies are the policies of Cilium, where the API serves them.
func CiliumPolicies() schema.GroupVersionResource {
	return schema.GroupVersionResource{
		Group: "cilium.io", Version: "v2", Resource: "ciliumnetworkpolicies",
	}
}

// CiliumToAPIServer lets the agents reach the API server in Cilium's own words: to Cilium a node is
// no block of addresses, so that no NetworkPolicy admits an API server that runs on one
// (docs.cilium.io, "Entities based"). It denies nothing else. Calico needs no such policy: its
// blocks hold nodes, it compares them after the service's address was translated, and its service
// rules are the endpoints that isolation names (docs.tigera.io, "Use service rules in policy").
func (w Parameters) CiliumToAPIServer() *unstructured.Unstructured {
	plain := func(labels map[string]string) map[string]any {
		all := make(map[string]any)
		for key, value := range labels {
			all[key] = value
		}
		return all
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": CiliumPolicies().GroupVersion().String(), "kind": "CiliumNetworkPolicy",
		"metadata": map[string]any{
			"name": w.Prefix + "allow-apiserver", "namespace": w.AgentNamespace,
			"labels": plain(w.Labels),
		},
		"spec": map[string]any{
			"endpointSelector": map[string]any{
				"matchLabels": plain(w.only(role(w.From)).MatchLabels),
			},
			"enableDefaultDeny": map[string]any{"egress": false, "ingress": false},
			"egress": []any{
				map[string]any{"toEntities": []any{"kube-apiserver"}},
			},
		},
	}}
}
