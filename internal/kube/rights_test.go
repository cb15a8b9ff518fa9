// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestListRights names rights as a person would.
func TestListRights(t *testing.T) {
	pods, jobs := schema.GroupResource{Resource: "pods"},
		schema.GroupResource{Group: "batch", Resource: "jobs"}
	tests := []struct {
		name, want string
		rights     []Right
	}{
		{"one", "create namespaces", []Right{{Verb: "create",
			GroupResource: schema.GroupResource{Resource: "namespaces"}}}},
		{"several of one kind", "get, list pods in namespace a", []Right{
			{Verb: "get", GroupResource: pods, Namespace: "a"},
			{Verb: "list", GroupResource: pods, Namespace: "a"},
		}},
		{"several namespaces", "create jobs.batch; get pods/log in namespace a; " +
			"create jobs.batch in namespace b", []Right{
			{Verb: "create", GroupResource: jobs, Namespace: "b"},
			{Verb: "get", GroupResource: pods, Subresource: "log", Namespace: "a"},
			{Verb: "create", GroupResource: jobs, Namespace: "a"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := ListRights(test.rights); got != test.want {
				t.Errorf("%q; want %q", got, test.want)
			}
		})
	}
}
