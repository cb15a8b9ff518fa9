// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/fake"
)

func TestReadRevision(t *testing.T) {
	policies := schema.GroupVersionResource{
		Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies",
	}
	object := func(change func(*metav1.PartialObjectMetadata)) *metav1.PartialObjectMetadata {
		one := &metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "a", Name: "p", UID: "u", Generation: 1, ResourceVersion: "1",
				Labels: map[string]string{"x": "1", "y": "2"},
			},
		}
		change(one)
		return one
	}

	same := func(*metav1.PartialObjectMetadata) {}
	tests := []struct {
		name   string
		change func(*metav1.PartialObjectMetadata)
		other  bool
	}{
		{"nothing", same, false},
		{"the status", func(o *metav1.PartialObjectMetadata) { o.ResourceVersion = "2" }, false},
		{"the specification", func(o *metav1.PartialObjectMetadata) { o.Generation = 2 }, true},
		{"a label", func(o *metav1.PartialObjectMetadata) { o.Labels["x"] = "3" }, true},
		{"a label less", func(o *metav1.PartialObjectMetadata) { delete(o.Labels, "y") }, true},
		{"another object of that name", func(o *metav1.PartialObjectMetadata) {
			o.UID = "v"
		}, true},
		{"its deletion", func(o *metav1.PartialObjectMetadata) {
			o.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
			o.Finalizers = []string{"f"}
		}, true},
	}
	read := func(t *testing.T, objects ...runtime.Object) Revision {
		t.Helper()
		scheme := fake.NewTestScheme()
		if err := metav1.AddMetaToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		got, err := ReadRevision(t.Context(), fake.NewSimpleMetadataClient(scheme, objects...),
			Location{policies, "a", "p"})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before, after := read(t, object(same)), read(t, object(test.change))
			if (before != after) != test.other {
				t.Errorf("%+v became %+v; want a difference: %t", before, after, test.other)
			}
		})
	}
	if got := read(t); got != (Revision{}) {
		t.Errorf("an object that does not exist has revision %+v", got)
	}
}
