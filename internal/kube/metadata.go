// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
)

// Location is where the API serves an object. The namespace of one of the cluster is empty.
type Location struct {
	schema.GroupVersionResource
	Namespace, Name string
}

// Revision is what a policy can depend on in an object's metadata, for comparison: its status may
// change without it. It is zero if there is no object.
type Revision struct {
	UID string
	// Generation counts the versions of the specification, of kinds that have one
	// (https://kubernetes.io/docs/reference/generated/kubernetes-api/, ObjectMeta).
	Generation int64
	Labels     string
	// Deleted says that the object only waits for its finalizers.
	Deleted bool
}

// ReadRevision reads the object's metadata as the API server has it now: without a resourceVersion
// the answer has everything that was accepted before the request.
func ReadRevision(ctx context.Context, client metadata.Interface, at Location) (Revision, error) {
	resource := client.Resource(at.GroupVersionResource)
	get := resource.Get
	if at.Namespace != "" {
		get = resource.Namespace(at.Namespace).Get
	}

	found, err := get(ctx, at.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return Revision{}, nil
	case err != nil:
		return Revision{}, fmt.Errorf("read %s %s: %w", at.Resource, at.Name, err)
	}

	return Revision{
		UID: string(found.UID), Generation: found.Generation,
		Labels:  labels.Set(found.Labels).String(), // in the order of their keys
		Deleted: found.DeletionTimestamp != nil,
	}, nil
}
