// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/fake"
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
		get := GetMetadata(fake.NewSimpleMetadataClient(scheme, objects...),
			Location{policies, "a", "p"})
		got, err := get(t.Context())
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
// middle.
type server struct {
	takes time.Duration

	mu      sync.Mutex
	object  metav1.Object
	changed time.Time
	failing error
	reads   int
}

func (s *server) get(context.Context) (metav1.Object, error) {
	time.Sleep(s.takes / 2)
	s.mu.Lock()
	s.reads++
	object, err := s.object, s.failing
	s.mu.Unlock()
	time.Sleep(s.takes / 2)
	return object, err
}

// accept changes the object.
func (s *server) accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.object, s.changed = &metav1.ObjectMeta{UID: "a"}, time.Now()
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
		name   string
		takes  time.Duration
		widest time.Duration
	}{
		{"a fast server", time.Millisecond, 7 * time.Millisecond},
		{"a slow one", 40 * time.Millisecond, 90 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for after := range 100 {
				synctest.Test(t, func(t *testing.T) {
					server := &server{takes: test.takes}
					reads := NewReads(server.get, MinReadInterval)
					must(t, second(reads.Begin(t.Context())))
					time.AfterFunc(time.Duration(after)*time.Millisecond/2+time.Microsecond,
						server.accept)

					reading, err := reads.Await(t.Context())
					must(t, err)
					server.expectContains(t, reading)
					if width := reading.Seen.Sub(reading.Unseen); width > test.widest {
						t.Errorf("the change is known to %s; want at most %s", width, test.widest)
					}
				})
			}
		})
	}
}

// A read that fails makes the interval wider, not wrong. One that is forbidden is the last.
func TestReadsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &server{takes: time.Millisecond}
		reads := NewReads(server.get, MinReadInterval)
		must(t, second(reads.Begin(t.Context())))
		time.AfterFunc(20*time.Millisecond, func() { server.fail(errors.New("busy")) })
		time.AfterFunc(50*time.Millisecond, server.accept)
		time.AfterFunc(80*time.Millisecond, func() { server.fail(nil) })
		reading, err := reads.Await(t.Context())
		must(t, err)
		server.expectContains(t, reading)

		server.fail(apierrors.NewForbidden(networkingv1.Resource("networkpolicies"), "", nil))
		if _, err := reads.Await(t.Context()); !apierrors.IsForbidden(err) {
			t.Errorf("Await() = %v; want that it is forbidden", err)
		}
	})
}

// Reads tell nothing of an object that was there when they began.
func TestReadsCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &server{object: &metav1.ObjectMeta{UID: "old"}}
		reads := NewReads(server.get, MinReadInterval)
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
		{"a fast server", time.Millisecond, 200},
		{"a busy one", 40 * time.Millisecond, 12},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				reads := NewReads(func(context.Context) (metav1.Object, error) {
					asked++
					time.Sleep(test.takes)
					return nil, nil
				}, MinReadInterval)
				reads.rest = true
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()

				_, _ = reads.Await(ctx) // it ends with its context
				if per := asked / 10; per < test.reads-1 || per > test.reads+1 {
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
