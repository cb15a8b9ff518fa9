// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	// statusWriters is how many pods are written at once.
	statusWriters = 16
	// firstWriteRetry is the pause after a conflict, which is doubled up to maxWriteRetry while the
	// API server is away.
	firstWriteRetry = 5 * time.Millisecond
	maxWriteRetry   = time.Second
)

// statusWriter tells the API server what became of the pods. The queue holds pods, not statuses: a
// pod that changes several times before its turn costs one write, of its latest state.
type statusWriter struct {
	client kubernetes.Interface
	find   func(types.UID) *pod
	queue  workqueue.TypedRateLimitingInterface[types.UID]
}

func newStatusWriter(client kubernetes.Interface, find func(types.UID) *pod) *statusWriter {
	return &statusWriter{
		client: client, find: find,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](firstWriteRetry,
				maxWriteRetry)),
	}
}

func (w *statusWriter) enqueue(uid types.UID) { w.queue.Add(uid) }

// Run writes until ctx ends.
func (w *statusWriter) Run(ctx context.Context) error {
	var group errgroup.Group
	for range statusWriters {
		group.Go(func() error {
			for w.next(ctx) {
			}
			return nil
		})
	}
	<-ctx.Done()
	w.queue.ShutDown()
	return group.Wait()
}

func (w *statusWriter) next(ctx context.Context) bool {
	uid, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(uid)

	p := w.find(uid)
	if p == nil {
		return true
	}
	if err := w.sync(ctx, p); err != nil && ctx.Err() == nil {
		klog.V(1).InfoS("Writing a pod again", "pod", klog.KRef(p.namespace, p.name), "reason", err)
		w.queue.AddRateLimited(uid)
		return true
	}

	w.queue.Forget(uid)
	return true
}

// sync brings the API object in line with the pod: its status while it lives, and its removal once
// it was deleted and has ended.
func (w *statusWriter) sync(ctx context.Context, p *pod) error {
	status := p.status()
	p.mu.Lock()
	object, ended, gone := p.api, p.ended, p.deleted
	p.mu.Unlock()
	finished := ended && object.DeletionTimestamp != nil
	switch {
	case gone:
		return nil
	case finished && !needsOutcome(object):
		return w.remove(ctx, object)
	}

	if !equality.Semantic.DeepEqual(status, object.Status) {
		if err := w.write(ctx, p, object, status); err != nil {
			return err
		}
	}

	if finished {
		return w.remove(ctx, object)
	}
	return nil
}

// needsOutcome reports whether somebody may read the last status of a pod that is being deleted: a
// controller that holds it with a finalizer, as that of Jobs does, or one that counts its pods'
// ends.
func needsOutcome(object *v1.Pod) bool {
	return len(object.Finalizers) > 0 || object.Spec.RestartPolicy != v1.RestartPolicyAlways
}

// write replaces the status. The resource version makes sure that nobody else's part of it is lost.
func (w *statusWriter) write(
	ctx context.Context, p *pod, object *v1.Pod, status v1.PodStatus,
) error {
	update := object.DeepCopy()
	update.Status = status
	pods := w.client.CoreV1().Pods(p.namespace)
	written, err := pods.UpdateStatus(ctx, update, metav1.UpdateOptions{})
	switch {
	case err == nil:
		p.observe(written)
		return nil
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsConflict(err):
		live, getErr := pods.Get(ctx, p.name, metav1.GetOptions{})
		if apierrors.IsNotFound(getErr) || (getErr == nil && live.UID != p.uid) {
			return nil
		}
		if getErr == nil {
			p.observe(live)
		}
		return err
	}

	return fmt.Errorf("write the status: %w", err)
}

// remove deletes the API object of a pod that has ended.
func (w *statusWriter) remove(ctx context.Context, object *v1.Pod) error {
	options := metav1.NewDeleteOptions(0)
	options.Preconditions = metav1.NewUIDPreconditions(string(object.UID))
	err := w.client.CoreV1().Pods(object.Namespace).Delete(ctx, object.Name, *options)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
