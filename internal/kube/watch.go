// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Sink takes events one at a time, in the order in which the watch delivered them. It must not
// block.
type Sink func(measure.Event)

// source is one kind of object in one namespace.
type source[L runtime.Object] struct {
	kind  string
	list  func(context.Context, metav1.ListOptions) (L, error)
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
	// narrow limits the objects by label or field.
	narrow func(*metav1.ListOptions)
	// event keeps what a measurement needs of an object; the rest is forgotten at once.
	event func(runtime.Object) measure.Event
	// example is an empty object of the kind.
	example runtime.Object
	// forbidden, if there is one, is told that the server does not let this client list or watch.
	forbidden func()
	// client tells whether the server can stream the initial list.
	client any
}

// follow delivers the events of the source to the sink until the context ends, and calls synced
// once everything that existed at the beginning has been delivered. One LIST and one WATCH serve
// it; when the connection breaks or the resource version expires the watch is resumed or renewed,
// and what happened in between is delivered as events, never as "initial".
func (s source[L]) follow(ctx context.Context, sink Sink, synced func()) error {
	listWatch := &cache.ListWatch{
		ListWithContextFunc: func(
			ctx context.Context, options metav1.ListOptions,
		) (runtime.Object, error) {
			s.narrow(&options)
			return s.list(ctx, options)
		},
		WatchFuncWithContext: func(
			ctx context.Context, options metav1.ListOptions,
		) (watch.Interface, error) {
			s.narrow(&options)
			return s.watch(ctx, options)
		},
	}

	informer := cache.NewSharedIndexInformer(
		cache.ToListWatcherWithWatchListSemantics(listWatch, s.client), s.example, 0, nil)
	err := errors.Join(informer.SetTransform(s.stamp),
		informer.SetWatchErrorHandlerWithContext(s.complain))
	if err != nil {
		return fmt.Errorf("prepare to watch %s: %w", s.kind, err)
	}

	registration, err := informer.AddEventHandler(handler(sink))
	if err != nil {
		return fmt.Errorf("prepare to watch %s: %w", s.kind, err)
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		informer.RunWithContext(ctx)
	}()
	if cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		synced()
	}

	<-done
	return ctx.Err()
}

// stamped is what the informer keeps of an object: its identity, and the event that it arrived
// with.
type stamped struct {
	metav1.ObjectMeta
	event measure.Event
}

// stamp runs as soon as the watch has decoded an object, before any queue, so that the time of
// arrival is not the time when somebody got to it.
func (s source[L]) stamp(object any) (any, error) {
	if _, again := object.(*stamped); again {
		return object, nil
	}
	arrived := time.Now()
	typed, ok := object.(runtime.Object)
	if !ok {
		return object, nil // a tombstone
	}

	meta, ok := object.(metav1.Object)
	if !ok {
		return object, nil
	}

	event := describe(s.event(typed), meta, arrived)
	event.Watched = true
	return &stamped{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: meta.GetNamespace(), Name: meta.GetName(), UID: meta.GetUID(),
			ResourceVersion: meta.GetResourceVersion(),
		},
		event: event,
	}, nil
}

// describe adds to an event what every object has. It may have been known by another way before.
func describe(event measure.Event, meta metav1.Object, arrived time.Time) measure.Event {
	if event.Arrived.IsZero() || arrived.Before(event.Arrived) {
		event.Arrived = arrived
	}
	event.Object = measure.Object{
		Namespace: meta.GetNamespace(), Name: meta.GetName(), UID: string(meta.GetUID()),
	}
	event.Created = meta.GetCreationTimestamp().Time
	event.TriggeredAt = triggeredAt(meta, arrived)
	return event
}

// maxStampAge is how much older than the arrival, or the creation, of an object a stamp in it may
// be: a watch is late by less, and clocks that are further apart are no measure.
const maxStampAge = 10 * time.Second

// triggeredAt reads the writer's stamp. One that cannot be read, or that neither the object's
// arrival nor its creation agrees with, counts as none, with a warning, because a wrong start would
// be worse than a coarse one.
func triggeredAt(meta metav1.Object, arrived time.Time) time.Time {
	text, ok := meta.GetAnnotations()[measure.TriggeredAtAnnotation]
	if !ok {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		klog.Warningf("Ignoring annotation %s=%q of %s/%s: expected RFC 3339 with nanoseconds, "+
			"for example 2026-01-02T03:04:05.678901234Z",
			measure.TriggeredAtAnnotation, text, meta.GetNamespace(), meta.GetName())
		return time.Time{}
	}

	// An object that existed before it was listed arrives late. Its creation was cut to a second.
	latest := meta.GetCreationTimestamp().Add(time.Second)
	if within(at, arrived) || within(at, latest) {
		return at
	}
	klog.Warningf("Ignoring annotation %s=%q of %s/%s: expected at most %s before its arrival at "+
		"%s or its creation at %s: is the clock of its writer right?",
		measure.TriggeredAtAnnotation, text, meta.GetNamespace(), meta.GetName(), maxStampAge,
		arrived.UTC().Format(time.RFC3339), meta.GetCreationTimestamp().UTC().Format(time.RFC3339))
	return time.Time{}
}

// within reports whether a stamp is not after an instant, and not too long before it.
func within(stamp, latest time.Time) bool {
	return !stamp.After(latest) && latest.Sub(stamp) <= maxStampAge
}

func (s source[L]) complain(_ context.Context, _ *cache.Reflector, err error) {
	switch {
	case apierrors.IsForbidden(err) && s.forbidden != nil:
		s.forbidden()
	case apierrors.IsForbidden(err):
		klog.Warningf(
			"Cannot watch %s: this client's service account lacks the permission to list "+
				"and watch them; retrying until it is granted: %v",
			s.kind,
			err,
		)
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		klog.Infof("The watch of %s is too old to resume; listing anew", s.kind)
	default:
		klog.Warningf("The watch of %s broke; resuming: %v", s.kind, err)
	}
}

// handler passes the informer's notifications on. An object that was deleted and re-created while
// the watch was broken arrives as an update to another UID: the old incarnation has ended.
func handler(sink Sink) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, initial bool) {
			deliver(sink, measure.EventAdded, object, initial)
		},
		UpdateFunc: func(before, after any) {
			old, okOld := before.(*stamped)
			now, okNow := after.(*stamped)
			if okOld && okNow && old.UID != now.UID {
				ended := old.event
				ended.Arrived = now.event.Arrived
				sink(with(ended, measure.EventDeleted, false))
				deliver(sink, measure.EventAdded, after, false)
				return
			}
			deliver(sink, measure.EventUpdated, after, false)
		},
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			deliver(sink, measure.EventDeleted, object, false)
		},
	}
}

func deliver(sink Sink, kind measure.EventType, object any, initial bool) {
	if s, ok := object.(*stamped); ok {
		sink(with(s.event, kind, initial))
	}
}

func with(event measure.Event, kind measure.EventType, initial bool) measure.Event {
	event.Type, event.Initial = kind, initial
	return event
}
