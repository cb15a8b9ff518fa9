// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

// served is a cluster that serves policies of Calico in one version.
func served(client *dynamicfake.FakeDynamicClient) *Cluster {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{
		{Group: "projectcalico.org", Version: "v3"},
	})
	mapper.Add(schema.GroupVersionKind{Group: "projectcalico.org", Version: "v3",
		Kind: "NetworkPolicy"}, meta.RESTScopeNamespace)
	return NewCluster(nil, client, nil, mapper)
}

// TestNotServed names kinds that are not installed, and how to mend that.
func TestNotServed(t *testing.T) {
	tests := []struct{ name, version, kind, want string }{
		{"Cilium's", "cilium.io/v2", "CiliumNetworkPolicy",
			"the API serves no CiliumNetworkPolicy of cilium.io/v2: is it a cluster with Cilium?"},
		{"the API of SIG Network", "policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy",
			"network-policy-api.sigs.k8s.io"},
		{"one that nobody knows", "example.com/v1", "Thing", "is its definition installed?"},
		{"another version", "projectcalico.org/v1", "NetworkPolicy",
			"it serves the kind as v3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := served(nil).Namespaced(schema.FromAPIVersionAndKind(test.version, test.kind))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Namespaced() = %v; want %q", err, test.want)
			}
		})
	}
}

// TestApplyCreates applies an object that does not exist to an API server that applies only what
// exists.
func TestApplyCreates(t *testing.T) {
	client := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())
	client.PrependReactor("patch", "*",
		func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{}, "p")
		})
	policy := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
		"metadata": map[string]any{"name": "p", "namespace": "n"},
	}}
	if err := served(client).Change(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	created := slices.ContainsFunc(client.Actions(), func(action clienttesting.Action) bool {
		return action.GetVerb() == "create" && action.GetNamespace() == "n"
	})
	if !created {
		t.Errorf("what was done is %v; want a creation in namespace n", client.Actions())
	}
}
