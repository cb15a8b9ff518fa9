// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/klog/v2"
)

// The bounds of reading the object that a trigger changes.
const (
	// MinReadInterval is the shortest time between the beginnings of two reads: the start of a
	// latency cannot be known better, and shorter is not worth the API server's time.
	MinReadInterval = 5 * time.Millisecond
	// maxReads is how many reads a second all who read together may send.
	maxReads = 300
	// maxReadInterval is where so many share the reads that they are worth nothing.
	maxReadInterval = 100 * time.Millisecond
	// readTimeout is how long a read may take.
	readTimeout = time.Second
)

// ReadInterval is the time between two reads of each of so many who read, zero if there are too
// many to read at all.
func ReadInterval(readers int) time.Duration {
	interval := max(MinReadInterval, time.Duration(readers)*time.Second/maxReads)
	if interval > maxReadInterval {
		return 0
	}
	return interval
}

// Get reads an object as the API server has it now, nil if there is none. It asks for no
// resourceVersion, so that the answer has everything that was accepted before the request
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list).
type Get func(context.Context) (metav1.Object, error)

// Location is where the API serves an object. The namespace of one of the cluster is empty.
type Location struct {
	schema.GroupVersionResource
	Namespace, Name string
}

// GetMetadata reads the metadata of any object.
func GetMetadata(client metadata.Interface, at Location) Get {
	resource := client.Resource(at.GroupVersionResource)
	get := resource.Get
	if at.Namespace != "" {
		get = resource.Namespace(at.Namespace).Get
	}
	return func(ctx context.Context) (metav1.Object, error) {
		object, err := get(ctx, at.Name, metav1.GetOptions{})
		return existing(at.Resource+" "+at.Name, object, err)
	}
}

// existing is the answer to a read, without an error if there is no such object.
func existing[T metav1.Object](what string, object T, err error) (metav1.Object, error) {
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return object, nil
}

// revision is what a policy can depend on in an object's metadata, for comparison: its status may
// change without it. It is zero if there is no object.
type revision struct {
	uid string
	// generation counts the versions of the specification, of kinds that have one
	// (https://kubernetes.io/docs/reference/generated/kubernetes-api/, ObjectMeta).
	generation int64
	labels     string
	// deleted says that the object only waits for its finalizers.
	deleted bool
}

func revisionOf(object metav1.Object) revision {
	if object == nil {
		return revision{}
	}
	return revision{
		uid: string(object.GetUID()), generation: object.GetGeneration(),
		labels:  labels.Set(object.GetLabels()).String(), // in the order of their keys
		deleted: object.GetDeletionTimestamp() != nil,
	}
}

// Reads find out when the API accepts a change of an object, by reading it again and again: it had
// not when the last read that did not see the change was sent, and had when the first that did was
// answered. One goroutine reads; Came may be called from any.
type Reads struct {
	get      Get
	interval time.Duration
	rest     bool      // pause as long as the newest read took: a busy server is asked less
	began    time.Time // when the newest read was sent
	took     time.Duration
	known    revision // what the newest read found

	mu     sync.Mutex
	unseen time.Time // when the newest read that found no change was sent
	seen   Reading   // the newest change, or what was there from the beginning
}

// Reading is an object after a change that the API has accepted between two instants.
type Reading struct {
	Object metav1.Object // nil if there is none any more
	// Unseen is when the last read without the change was sent, and Seen when the first with it was
	// answered.
	Unseen, Seen time.Time
}

// NewReads reads once in an interval.
func NewReads(get Get, interval time.Duration) *Reads {
	return &Reads{get: get, interval: interval}
}

// Begin reads the object as it is before a change.
func (r *Reads) Begin(ctx context.Context) (metav1.Object, error) {
	object, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	r.known = revisionOf(object)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.unseen, r.seen = r.began, Reading{Object: object}
	return object, nil
}

// start is Begin again and again until it succeeds, is forbidden, or the context ends.
func (r *Reads) start(ctx context.Context) (metav1.Object, error) {
	for {
		object, err := r.Begin(ctx)
		if err == nil || apierrors.IsForbidden(err) {
			return object, err
		}
		if ctx.Err() == nil {
			klog.Warningf("Cannot %v; trying again", err)
		}
		select {
		case <-time.After(idleInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Await reads the object until it has changed, and when it is called again, until it changes again.
// A read that fails says nothing: the interval that contains the change becomes wider. It gives up
// when the context ends or reads are forbidden. Without an interval it waits for the former, and
// what was read before is forgotten.
func (r *Reads) Await(ctx context.Context) (Reading, error) {
	if r.interval == 0 {
		r.missed(time.Time{})
		<-ctx.Done()
		return Reading{}, ctx.Err()
	}

	failing := false
	for {
		select {
		case <-time.After(r.pause()):
		case <-ctx.Done():
			return Reading{}, ctx.Err()
		}

		object, err := r.read(ctx)
		switch now := revisionOf(object); {
		case ctx.Err() != nil:
			return Reading{}, ctx.Err()
		case apierrors.IsForbidden(err):
			return Reading{}, err
		case err != nil:
			if !failing {
				klog.Warningf("Cannot %v; trying again", err)
			}
			failing = true
		case now != r.known:
			r.known = now
			return r.found(object), nil
		default:
			failing = false
			r.missed(r.began)
		}
	}
}

func (r *Reads) read(ctx context.Context) (metav1.Object, error) {
	r.began = time.Now()
	defer func() { r.took = time.Since(r.began) }()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return r.get(ctx)
}

// pause is how long there is no read from now on.
func (r *Reads) pause() time.Duration {
	pause := time.Until(r.began.Add(r.interval))
	if r.rest {
		pause = max(pause, time.Until(r.began.Add(2*r.took)))
	}
	return pause
}

// missed takes in that a read found no change.
func (r *Reads) missed(sent time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unseen = sent
}

// found takes in a change that the newest read has found.
func (r *Reads) found(object metav1.Object) Reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = Reading{Object: object, Unseen: r.unseen, Seen: time.Now()}
	r.unseen = r.began
	return r.seen
}

// Came is what the reads know of an object that is there now: when the last read without it was
// sent, and when the first with it was answered, each zero if there was none.
func (r *Reads) Came(uid string) (unseen, seen time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen.Object != nil && string(r.seen.Object.GetUID()) == uid {
		return r.seen.Unseen, r.seen.Seen
	}
	return r.unseen, time.Time{}
}
