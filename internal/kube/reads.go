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
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// The bounds of reading the object that a trigger changes.
const (
	// maxReads is how many reads a second all who read together may send.
	maxReads = 300
	// MinReadInterval is the time between the beginnings of two reads of one who reads alone: the
	// start of a latency cannot be known much better.
	MinReadInterval = time.Second / maxReads
	// maxReadInterval is where so many share the reads that they are worth nothing.
	maxReadInterval = 100 * time.Millisecond
	// readTimeout is how long a read may take.
	readTimeout = time.Second
	// mostUnderWay is how many reads of one who reads are under way at once: a server that is slow
	// is asked less often.
	mostUnderWay = 4
	// drainTime is how long those that are under way when a change is seen may take to tell more.
	drainTime = 20 * time.Millisecond
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

// Subject is an object that a trigger changes, and how to learn of that.
type Subject struct {
	Get   Get
	Watch Watch // nil if nobody watches it
}

// Get reads an object as the API server has it now, nil if there is none. It asks for no
// resourceVersion, so that the answer has everything that was accepted before the request
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list).
type Get func(context.Context) (metav1.Object, error)

// Watch begins to watch an object. It returns the object as a Get would, and what becomes of it
// from then on, until the watch breaks or the context ends: then the channel is closed.
type Watch func(context.Context) (metav1.Object, <-chan Version, error)

// Version is an object as it was when it came, nil if there was none any more.
type Version struct {
	Object metav1.Object
	Came   time.Time
}

// Location is where the API serves an object. The namespace of one of the cluster is empty.
type Location struct {
	schema.GroupVersionResource
	Namespace, Name string
}

// SubjectAt is any object, of which the metadata is read and watched.
func SubjectAt(client metadata.Interface, at Location) Subject {
	all := client.Resource(at.GroupVersionResource)
	resource := metadata.ResourceInterface(all)
	if at.Namespace != "" {
		resource = all.Namespace(at.Namespace)
	}
	what := at.Resource + " " + at.Name

	return Subject{
		Get: func(ctx context.Context) (metav1.Object, error) {
			object, err := resource.Get(ctx, at.Name, metav1.GetOptions{})
			return existing(what, object, err)
		},
		Watch: func(ctx context.Context) (metav1.Object, <-chan Version, error) {
			first, changes, err := watchMetadata(ctx, resource, at.Name)
			if err != nil {
				return nil, nil, fmt.Errorf("watch %s: %w", what, err)
			}
			return first, changes, nil
		},
	}
}

// watchMetadata lists the object and watches it from there on: so nothing comes that was before.
func watchMetadata(
	ctx context.Context, resource metadata.ResourceInterface, name string,
) (first metav1.Object, changes <-chan Version, err error) {
	only := metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(),
	}
	list, err := resource.List(ctx, only)
	if err != nil {
		return nil, nil, err
	}
	if len(list.Items) > 0 {
		first = &list.Items[0]
	}

	only.ResourceVersion = list.ResourceVersion
	watched, err := resource.Watch(ctx, only)
	if err != nil {
		return nil, nil, err
	}
	versions := make(chan Version)
	go forward(ctx, watched, versions)
	return first, versions, nil
}

// forward passes on what a watch delivers, with the time of its arrival, until the watch breaks or
// the context ends.
func forward(ctx context.Context, watched watch.Interface, versions chan<- Version) {
	defer close(versions)
	defer watched.Stop()
	for event := range watched.ResultChan() {
		version := Version{Came: time.Now()}
		switch event.Type {
		case watch.Added, watch.Modified:
			object, ok := event.Object.(metav1.Object)
			if !ok {
				return
			}
			version.Object = object
		case watch.Deleted:
		case watch.Bookmark:
			continue
		default:
			return // the server says that it cannot go on
		}

		select {
		case versions <- version:
		case <-ctx.Done():
			return
		}
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

// Reads find out when the API accepts a change of an object, by reading it again and again, and by
// watching it where that is permitted: it had not when the last read that did not see the change
// was sent, and had when the first that did was answered or the watch delivered it. One goroutine
// reads; Came may be called from any.
type Reads struct {
	subject  Subject
	interval time.Duration
	// rest has one read after the other, and a pause for as long as the newest took: a busy server
	// is asked less.
	rest    bool
	began   time.Time // when the newest read was sent
	took    time.Duration
	known   revision       // what was found so far
	changes <-chan Version // from the watch, nil without one
	refused refusal

	mu     sync.Mutex
	unseen time.Time // when the newest read that found no change was sent
	seen   Reading   // the newest change, or what was there from the beginning
}

// Reading is an object after a change that the API has accepted between two instants.
type Reading struct {
	Object metav1.Object // nil if there is none any more
	// Unseen is when the last read without the change was sent, and Seen when the first with it was
	// answered, or the watch delivered it.
	Unseen, Seen time.Time
	// Watched says that the object was watched as well.
	Watched bool
}

// Start is the start of a latency that the change begins.
func (r Reading) Start() measure.Start {
	source := measure.StartRead
	if r.Watched {
		source = measure.StartWatchRead
	}
	return measure.StartOfReads(source, r.Unseen, r.Seen)
}

// NewReads reads once in an interval.
func NewReads(subject Subject, interval time.Duration) *Reads {
	return &Reads{subject: subject, interval: interval}
}

// Begin reads the object as it is before a change, and watches it until the context ends. Where it
// cannot be watched the reads alone tell of the change.
func (r *Reads) Begin(ctx context.Context) (metav1.Object, error) {
	r.began = time.Now()
	object, watched := r.watch(ctx)
	if !watched {
		var err error
		r.began = time.Now()
		if object, err = r.get(ctx); err != nil {
			return nil, err
		}
	}
	r.took = time.Since(r.began)
	r.known = revisionOf(object)
	r.refused.final(nil)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.unseen, r.seen = r.began, Reading{Object: object}
	return object, nil
}

// watch begins to watch the object, and reports whether that was possible. It may take as long as a
// read may.
func (r *Reads) watch(ctx context.Context) (object metav1.Object, watched bool) {
	if r.subject.Watch == nil {
		return nil, false
	}
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(readTimeout, cancel)
	defer late.Stop()

	object, changes, err := r.subject.Watch(ctx)
	if err != nil {
		cancel()
		return nil, false // it is not permitted, say: nothing is wrong without it, starts are wider
	}
	r.changes = changes
	return object, true
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

// answer is what became of a read.
type answer struct {
	Version
	sent time.Time
	err  error
}

// Await reads the object until it has changed, and when it is called again, until it changes again.
// A read that fails says nothing: the interval that contains the change becomes wider. It gives up
// when the context ends or reads are forbidden for good. Without an interval it waits for the
// former, and what was read before is forgotten.
//
// A read does not wait for the answer to the one before: what counts is how long before the change
// the last one was sent.
func (r *Reads) Await(ctx context.Context) (Reading, error) {
	if r.interval == 0 {
		r.missed(time.Time{})
		<-ctx.Done()
		return Reading{}, ctx.Err()
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // nobody waits for what is still under way
	answers := make(chan answer, mostUnderWay)
	underWay, failing := 0, false
	for {
		var due <-chan time.Time
		if underWay == 0 || underWay < mostUnderWay && !r.rest {
			due = time.After(r.pause())
		}

		select {
		case <-ctx.Done():
			return Reading{}, ctx.Err()

		case <-due:
			underWay++
			r.began = time.Now()
			go r.read(ctx, r.began, answers)

		case version, open := <-r.changes:
			if !open {
				r.changes = nil
			} else if revisionOf(version.Object) != r.known {
				return r.found(ctx, version, answers, underWay), nil
			}

		case a := <-answers:
			underWay--
			r.took = a.Came.Sub(a.sent)
			switch {
			case ctx.Err() != nil:
				return Reading{}, ctx.Err()
			case r.refused.final(a.err):
				return Reading{}, a.err
			case a.err != nil:
				if !failing {
					klog.Warningf("Cannot %v; trying again", a.err)
				}
				failing = true
			case revisionOf(a.Object) != r.known:
				return r.found(ctx, a.Version, answers, underWay), nil
			default:
				failing = false
				r.missed(a.sent)
			}
		}
	}
}

// read sends a read and passes its answer on.
func (r *Reads) read(ctx context.Context, sent time.Time, answers chan<- answer) {
	object, err := r.get(ctx)
	answers <- answer{Version{object, time.Now()}, sent, err}
}

func (r *Reads) get(ctx context.Context) (metav1.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return r.subject.Get(ctx)
}

// pause is how long there is no read from now on.
func (r *Reads) pause() time.Duration {
	interval := max(r.interval, r.took/mostUnderWay)
	pause := time.Until(r.began.Add(interval))
	if r.refused.lasts() {
		pause = max(pause, idleInterval)
	}
	if r.rest {
		pause = max(pause, time.Until(r.began.Add(2*r.took)))
	}
	return pause
}

// missed takes in that a read found no change.
func (r *Reads) missed(sent time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if sent.IsZero() || sent.After(r.unseen) {
		r.unseen = sent
	}
}

// found takes in a change, and what the reads say of it that were under way when it was seen: one
// that does not have it was sent later than those before.
func (r *Reads) found(
	ctx context.Context, version Version, answers <-chan answer, underWay int,
) Reading {
	before := r.known
	r.known = revisionOf(version.Object)
	for late := time.After(drainTime); underWay > 0; underWay-- {
		select {
		case a := <-answers:
			switch now := revisionOf(a.Object); {
			case a.err != nil:
			case now == before:
				r.missed(a.sent)
			case now == r.known && a.Came.Before(version.Came):
				version.Came = a.Came
			}
		case <-late:
			underWay = 1
		case <-ctx.Done():
			underWay = 1
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = Reading{
		Object: version.Object, Unseen: r.unseen, Seen: version.Came, Watched: r.changes != nil,
	}
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
