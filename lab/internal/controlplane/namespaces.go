// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/namespace/deletion"
)

const (
	// namespaceGrace is how long what is in a namespace stays after the namespace was deleted.
	// kube-controller-manager waits five seconds, in which other API servers and members of etcd
	// learn of it. Here is one of each, and what they were about to write is written by then.
	namespaceGrace = 100 * time.Millisecond
	// namespaceRetry is when a namespace in which something was left is looked at again.
	namespaceRetry = 500 * time.Millisecond
	// namespaceWorkers is how many namespaces are emptied at the same time.
	namespaceWorkers = 10
)

// RemoveNamespaces empties namespaces that were deleted, and lets them go, until the context ends.
// It is kube-controller-manager's own work, done sooner than there.
func RemoveNamespaces(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("use kubeconfig %s: %w", kubeconfig, err)
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("use kubeconfig %s: %w", kubeconfig, err)
	}
	if err := AwaitAPIServer(ctx, client); err != nil { // which says what namespaces can hold
		return fmt.Errorf("wait for kube-apiserver: %w", err)
	}

	return removeNamespaces(ctx, client, deletion.NewNamespacedResourcesDeleter(ctx,
		client.CoreV1().Namespaces(), objects, client.CoreV1(),
		client.Discovery().ServerPreferredNamespacedResources, corev1.FinalizerKubernetes))
}

func removeNamespaces(
	ctx context.Context, client kubernetes.Interface,
	deleter deletion.NamespacedResourcesDeleterInterface,
) error {
	queue := workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](5*time.Millisecond,
			10*time.Second))
	if err := watchDeleted(ctx, client, queue); err != nil {
		return err
	}

	var group errgroup.Group
	for range namespaceWorkers {
		group.Go(func() error {
			for empty(ctx, queue, deleter) {
			}
			return nil
		})
	}
	<-ctx.Done()
	queue.ShutDown()
	return group.Wait()
}

// watchDeleted queues the names of namespaces that were deleted and are there still.
func watchDeleted(
	ctx context.Context, client kubernetes.Interface,
	queue workqueue.TypedRateLimitingInterface[string],
) error {
	add := func(object any) {
		namespace, is := object.(*corev1.Namespace)
		if is && namespace.DeletionTimestamp != nil {
			queue.AddAfter(namespace.Name, namespaceGrace)
		}
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	_, err := factory.Core().V1().Namespaces().Informer().AddEventHandler(
		cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, now any) { add(now) }})
	if err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}

	factory.Start(ctx.Done())
	return nil
}

// empty deletes what is in the next namespace of the queue. It reports whether there may be
// another.
func empty(
	ctx context.Context, queue workqueue.TypedRateLimitingInterface[string],
	deleter deletion.NamespacedResourcesDeleterInterface,
) bool {
	name, quit := queue.Get()
	if quit {
		return false
	}
	defer queue.Done(name)

	err := deleter.Delete(ctx, name)
	var left *deletion.ResourcesRemainingError
	switch {
	case err == nil:
		queue.Forget(name)
	case errors.As(err, &left):
		queue.AddAfter(name, namespaceRetry)
	default:
		klog.ErrorS(err, "Namespace is not empty", "namespace", name)
		queue.AddRateLimited(name)
	}

	return true
}
