// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// Removable are the resources in namespaces whose objects can be listed and deleted, of every kind
// that the API serves.
func (c *Cluster) Removable() ([]schema.GroupVersionResource, error) {
	lists, err := discovery.ServerPreferredNamespacedResources(c.Discovery())
	if len(lists) == 0 && err != nil { // of single groups it does not matter here
		return nil, fmt.Errorf("find out what the API serves: %w", err)
	}
	both := discovery.SupportsAllVerbs{Verbs: []string{"list", "delete"}}
	served, err := discovery.GroupVersionResources(discovery.FilteredBy(both, lists))
	if err != nil {
		return nil, fmt.Errorf("find out what the API serves: %w", err)
	}
	var all []schema.GroupVersionResource
	for one := range served {
		all = append(all, one)
	}
	return all, nil
}

// DeleteSelected deletes the objects of a resource in a namespace that a label selector matches,
// and returns how many there were. What the user may not list is none of the user's.
func (c *Cluster) DeleteSelected(
	ctx context.Context, of schema.GroupVersionResource, namespace, selector string,
) (int, error) {
	endpoint := c.metadata.Resource(of).Namespace(namespace)
	list, err := endpoint.List(ctx, metav1.ListOptions{LabelSelector: selector})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err),
		apierrors.IsMethodNotSupported(err):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("look for %s in namespace %s: %w", of.GroupResource(), namespace, err)
	}

	background := metav1.DeletePropagationBackground
	for _, object := range list.Items {
		// What has taken the name since is another object.
		err := endpoint.Delete(ctx, object.Name, metav1.DeleteOptions{
			PropagationPolicy: &background,
			Preconditions:     &metav1.Preconditions{UID: new(object.UID)},
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return 0, fmt.Errorf("delete %s %s/%s: %w", of.GroupResource(), namespace, object.Name,
				err)
		}
	}
	return len(list.Items), nil
}
