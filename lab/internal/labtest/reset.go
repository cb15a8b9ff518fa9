// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package labtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"github.com/netpol-latency/netpol-latency/lab/internal/engine"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

// resetInterval is how often a reset looks whether what it has deleted is gone.
const resetInterval = 200 * time.Millisecond

// object is where the API serves an object.
type object struct {
	resource        schema.GroupVersionResource
	namespace, name string
}

func (o object) String() string {
	return fmt.Sprintf("%s %s/%s", o.resource.Resource, o.namespace, o.name)
}

// inventory is what there is in a cluster, without what is in namespaces that a test has made:
// objects by their UIDs and labels.
type inventory map[object]identity

type identity struct {
	uid    types.UID
	labels map[string]string
}

// volatile are resources that come and go by themselves.
var volatile = map[string]bool{
	"events": true, "leases": true, "endpoints": true, "endpointslices": true,
	"ipaddresses": true, "certificatesigningrequests": true,
}

// ownNamespaces are those of a cluster in which there is nothing yet.
var ownNamespaces = map[string]bool{
	"": true, "default": true, "kube-system": true, "kube-public": true, "kube-node-lease": true,
}

// takeInventory lists what there is now.
func (l *Lab) takeInventory(ctx context.Context) (inventory, error) {
	client, err := metadata.NewForConfig(l.Config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	groups, err := l.Client.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("ask what the API serves: %w", err)
	}

	found := make(inventory)
	for _, group := range groups {
		version, err := schema.ParseGroupVersion(group.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("read what the API serves: %w", err)
		}
		for _, resource := range group.APIResources {
			if volatile[resource.Name] || !slices.Contains(resource.Verbs, "list") ||
				!slices.Contains(resource.Verbs, "delete") {
				continue
			}
			at := version.WithResource(resource.Name)
			list, err := client.Resource(at).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				continue // its definition has just been deleted
			}
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", resource.Name, err)
			}
			for _, item := range list.Items {
				if ownNamespaces[item.Namespace] {
					found[object{at, item.Namespace, item.Name}] = identity{item.UID, item.Labels}
				}
			}
		}
	}
	return found, nil
}

// reset makes the lab as new: what is there and was not is deleted, and the engine's settings are
// the defaults. A lab of which something is gone, or has other labels, or does not run, cannot be
// used again.
func (l *Lab) reset(ctx context.Context, fresh inventory) error {
	if err := l.deleteOthers(ctx, fresh); err != nil {
		return err
	}

	if err := l.awaitNodes(ctx); err != nil {
		return err
	}

	control := supervisor.Control{Dir: layout.Dir(l.Dir)}
	components, err := control.Components(ctx)
	if err != nil {
		return err
	}
	for _, component := range components {
		if !component.Running {
			return fmt.Errorf("reset the lab: %s does not run", component.Name)
		}
	}
	if slices.ContainsFunc(components, func(c supervisor.Status) bool {
		return c.Name == "engine-0"
	}) {
		return control.Set(ctx, engine.Settings{})
	}
	return nil
}

// deleteOthers deletes what is not in the inventory, and waits until it is gone. What comes back by
// itself is the cluster's own.
func (l *Lab) deleteOthers(ctx context.Context, fresh inventory) error {
	client, err := metadata.NewForConfig(l.Config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}

	deleted := make(inventory)
	for {
		now, err := l.takeInventory(ctx)
		if err != nil {
			return err
		}
		for one, was := range fresh {
			if is, ok := now[one]; !ok || !maps.Equal(is.labels, was.labels) {
				return fmt.Errorf("reset the lab: a test has changed %s", one)
			}
			delete(now, one)
		}

		for one, is := range now {
			if was, again := deleted[one]; again {
				if was.uid != is.uid {
					delete(now, one)
				}
				continue
			}

			deleted[one] = is
			background := metav1.DeletePropagationBackground
			err := client.Resource(one.resource).Namespace(one.namespace).Delete(ctx, one.name,
				metav1.DeleteOptions{PropagationPolicy: &background})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return fmt.Errorf("reset the lab: delete %s: %w", one, err)
			}
		}
		if len(now) == 0 {
			return nil
		}

		select {
		case <-time.After(resetInterval):
		case <-ctx.Done():
			return fmt.Errorf("reset the lab: %d objects are not gone: %w", len(now), ctx.Err())
		}
	}
}

// awaitNodes waits until all nodes take pods again. One that a test keeps from it never will.
func (l *Lab) awaitNodes(ctx context.Context) error {
	for {
		nodes, err := l.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("reset the lab: list nodes: %w", err)
		}

		unready := 0
		for _, node := range nodes.Items {
			for _, taint := range node.Spec.Taints {
				if taint.Key != v1.TaintNodeNotReady {
					return fmt.Errorf("reset the lab: node %s has the taint %s", node.Name,
						taint.Key)
				}
				unready++
			}
		}
		if unready == 0 {
			return nil
		}

		select {
		case <-time.After(resetInterval):
		case <-ctx.Done():
			return fmt.Errorf("reset the lab: nodes are not ready: %w", ctx.Err())
		}
	}
}
