// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/fake"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

func TestRevision(t *testing.T) {
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
	read := func(t *testing.T, objects ...runtime.Object) revision {
		t.Helper()
		scheme := fake.NewTestScheme()
		if err := metav1.AddMetaToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		subject := SubjectAt(fake.NewSimpleMetadataClient(scheme, objects...),
			Location{policies, "a", "p"})
		got, err := subject.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return revisionOf(got)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before, after := read(t, object(same)), read(t, object(test.change))
			if (before != after) != test.other {
				t.Errorf("%+v became %+v; want a difference: %t", before, after, test.other)
			}
		})
	}
	if got := read(t); got != (revision{}) {
		t.Errorf("an object that does not exist has revision %+v", got)
	}
}

// server is an API server whose every read takes a while: it answers with what it had in the
// middle. If there is notified of it, a watch delivers a change so much later.
type server struct {
	takes, notified time.Duration

	mu      sync.Mutex
	object  metav1.Object
	changed time.Time
	failing error
	watches []chan Version
	at      []time.Duration // when reads were sent, since the first
	began   time.Time
}

func (s *server) subject() Subject {
	subject := Subject{Get: s.get}
	if s.notified > 0 {
		subject.Watch = s.watch
	}
	return subject
}

func (s *server) get(ctx context.Context) (metav1.Object, error) {
	s.mu.Lock()
	if s.began.IsZero() {
		s.began = time.Now()
	}
	s.at = append(s.at, time.Since(s.began))
	s.mu.Unlock()

	sleep(ctx, s.takes/2)
	s.mu.Lock()
	object, err := s.object, s.failing
	s.mu.Unlock()
	sleep(ctx, s.takes/2)
	return object, err
}

// sleep ends with the context.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (s *server) watch(context.Context) (metav1.Object, <-chan Version, error) {
	time.Sleep(s.takes)
	versions := make(chan Version, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches = append(s.watches, versions)
	return s.object, versions, s.failing
}

// accept changes the object.
func (s *server) accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := &metav1.ObjectMeta{UID: "a"}
	s.object, s.changed = object, time.Now()
	time.AfterFunc(s.notified, func() {
		for _, versions := range s.watches {
			versions <- Version{object, time.Now()}
		}
	})
}

// breakWatches ends the watches.
func (s *server) breakWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, versions := range s.watches {
		close(versions)
	}
	s.watches = nil
}

func (s *server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}

// expectContains checks that the change was between the reads.
func (s *server) expectContains(t *testing.T, reading Reading) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed.Before(reading.Unseen) || s.changed.After(reading.Seen) {
		t.Errorf("the change was at %v; reads had it between %v and %v", s.changed, reading.Unseen,
			reading.Seen)
	}
}

func TestReadsContainTheChange(t *testing.T) {
	tests := []struct {
		name            string
		takes, notified time.Duration
		widest          time.Duration
	}{
		// From the sending of the last read that missed the change to the answer to the next one.
		{"a fast server", time.Millisecond, 0, 6 * time.Millisecond},
		{"a busy one", 6 * time.Millisecond, 0, 11 * time.Millisecond},
		{"a slow one", 40 * time.Millisecond, 0, 52 * time.Millisecond},
		// From there to half a read and the notified.
		{"a watch", 6 * time.Millisecond, time.Millisecond, 9 * time.Millisecond},
		{"a slow server's watch", 40 * time.Millisecond, time.Millisecond, 32 * time.Millisecond},
		{"a late watch", time.Millisecond, time.Second, 6 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for after := range 100 {
				synctest.Test(t, func(t *testing.T) {
					server := &server{takes: test.takes, notified: test.notified}
					reads := NewReads(server.subject(), MinReadInterval)
					must(t, second(reads.Begin(t.Context())))
					// While reads begin they are further apart.
					wait := 200*time.Millisecond + time.Duration(after)*time.Millisecond/2
					time.AfterFunc(wait+time.Microsecond, server.accept)

					reading, err := reads.Await(t.Context())
					must(t, err)
					server.expectContains(t, reading)
					if width := reading.Seen.Sub(reading.Unseen); width > test.widest {
						t.Errorf("the change is known to %s; want at most %s", width, test.widest)
					}
					want := measure.StartRead
					if server.notified > 0 {
						want = measure.StartWatchRead
					}
					if got := reading.Start().Source; got != want {
						t.Errorf("the start is of %q; want %q", got, want)
					}
				})
			}
		})
	}
}

// A read does not wait for the one before, but a server that is slow is asked less often.
func TestReadsOverlap(t *testing.T) {
	tests := []struct {
		name  string
		takes time.Duration
		want  []time.Duration // when the first reads are sent, in milliseconds
	}{
		{"a fast server", time.Millisecond, []time.Duration{0, 5, 10, 15, 20, 25}},
		{"one that takes longer than the interval", 8 * time.Millisecond,
			[]time.Duration{0, 8, 13, 18, 23, 28}}, // the first, before all others, is awaited
		{"a slow one", 100 * time.Millisecond,
			[]time.Duration{0, 100, 125, 150, 175, 200, 225, 250, 275, 300}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &server{takes: test.takes}
				reads := NewReads(server.subject(), 5*time.Millisecond)
				must(t, second(reads.Begin(t.Context())))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, _ = reads.Await(ctx) // it ends with its context

				server.mu.Lock() // for reads that nobody waits for
				defer server.mu.Unlock()
				for i, want := range test.want {
					if got := server.at[i]; got != want*time.Millisecond {
						t.Errorf("read %d was sent after %s; want %s", i, got,
							want*time.Millisecond)
					}
				}
			})
		})
	}
}

var forbidden = apierrors.NewForbidden(networkingv1.Resource("networkpolicies"), "", nil)

// A watch that is not permitted, and one that breaks, leave the reads.
func TestReadsWithoutTheWatch(t *testing.T) {
	tests := []struct {
		name   string
		refuse error
	}{
		{"not permitted", forbidden},
		{"it breaks", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &server{takes: time.Millisecond, notified: time.Second}
				subject := server.subject()
				if test.refuse != nil {
					subject.Watch = func(
						context.Context,
					) (metav1.Object, <-chan Version, error) {
						return nil, nil, test.refuse
					}
				}
				reads := NewReads(subject, MinReadInterval)
				must(t, second(reads.Begin(t.Context())))
				time.AfterFunc(50*time.Millisecond, server.breakWatches)
				time.AfterFunc(99*time.Millisecond, server.accept)

				reading, err := reads.Await(t.Context())
				must(t, err)
				server.expectContains(t, reading)
				if got := reading.Start().Source; got != measure.StartRead {
					t.Errorf("the start is of %q; want %q", got, measure.StartRead)
				}
			})
		})
	}
}

// A read that fails makes the interval wider, not wrong.
func TestReadsThatFail(t *testing.T) {
	for name, failure := range map[string]error{
		"the server is busy":                   errors.New("busy"),
		"it does not know yet who may do what": forbidden,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &server{takes: time.Millisecond}
				reads := NewReads(server.subject(), MinReadInterval)
				must(t, second(reads.Begin(t.Context())))
				time.AfterFunc(20*time.Millisecond, func() { server.fail(failure) })
				time.AfterFunc(5*time.Second, server.accept)
				time.AfterFunc(8*time.Second, func() { server.fail(nil) })
				reading, err := reads.Await(t.Context())
				must(t, err)
				server.expectContains(t, reading)
			})
		})
	}
}

// Reads that are forbidden for good are given up.
func TestReadsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &server{takes: time.Millisecond}
		server.fail(forbidden)
		reads := NewReads(server.subject(), MinReadInterval)
		if _, err := reads.Begin(t.Context()); !apierrors.IsForbidden(err) {
			t.Errorf("Begin() = %v; want that it is forbidden", err)
		}

		server.fail(nil)
		must(t, second(reads.Begin(t.Context())))
		server.fail(forbidden)
		began := time.Now()
		_, err := reads.Await(t.Context())
		after := time.Since(began).Round(time.Second)
		if !apierrors.IsForbidden(err) || after != refusedFor {
			t.Errorf("Await() = %v after %s; want that it is forbidden after %s", err, after,
				refusedFor)
		}
	})
}

// Reads tell nothing of an object that was there when they began.
func TestReadsCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &server{object: &metav1.ObjectMeta{UID: "old"}}
		reads := NewReads(server.subject(), MinReadInterval)
		began := time.Now()
		must(t, second(reads.Begin(t.Context())))
		if unseen, seen := reads.Came("old"); !unseen.IsZero() || !seen.IsZero() {
			t.Errorf("what was there came between %v and %v", unseen, seen)
		}
		if unseen, seen := reads.Came("new"); !unseen.Equal(began) || !seen.IsZero() {
			t.Errorf("what was not there came between %v and %v; want %v, and no read", unseen,
				seen, began)
		}
	})
}

// A server that is busy is asked the less by who may wait for hours.
func TestReadsRest(t *testing.T) {
	tests := []struct {
		name  string
		takes time.Duration
		reads int // in a second
	}{
		{"a fast server", time.Millisecond, 300},
		{"a busy one", 40 * time.Millisecond, 12},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64 // reads may overlap
				reads := NewReads(Subject{Get: func(ctx context.Context) (metav1.Object, error) {
					asked.Add(1)
					sleep(ctx, test.takes)
					return nil, nil
				}}, MinReadInterval)
				reads.rest = true
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()

				_, _ = reads.Await(ctx) // it ends with its context
				if per := int(asked.Load()) / 10; per < test.reads-1 || per > test.reads+1 {
					t.Errorf("%d reads a second; want %d", per, test.reads)
				}
			})
		})
	}
}

func TestReadInterval(t *testing.T) {
	tests := []struct {
		readers int
		want    time.Duration
	}{
		{1, MinReadInterval}, {3, 10 * time.Millisecond}, {30, 100 * time.Millisecond}, {31, 0},
	}
	for _, test := range tests {
		if got := ReadInterval(test.readers); got != test.want {
			t.Errorf("each of %d reads every %s; want %s", test.readers, got, test.want)
		}
	}
}
