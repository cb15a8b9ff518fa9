// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// watchServer serves one namespaced policy as an API server does: a list, and a watch of what
// comes.
type watchServer struct {
	*httptest.Server
	forbidden bool // to watch
	events    chan metav1.WatchEvent

	mu    sync.Mutex
	asked []string // paths with their queries
}

func newWatchServer(t *testing.T, forbidden bool) *watchServer {
	s := &watchServer{forbidden: forbidden, events: make(chan metav1.WatchEvent)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *watchServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.RequestURI())
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	send := json.NewEncoder(w)
	if r.URL.Query().Get("watch") == "" {
		_ = send.Encode(metav1.PartialObjectMetadataList{
			TypeMeta: kindOf("PartialObjectMetadataList"),
			ListMeta: metav1.ListMeta{ResourceVersion: "7"},
		})
		return
	}
	if s.forbidden {
		status := apierrors.NewForbidden(networkingv1.Resource("networkpolicies"), "p", nil).
			Status()
		w.WriteHeader(http.StatusForbidden)
		_ = send.Encode(status)
		return
	}

	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case event, open := <-s.events:
			if !open {
				return
			}
			_ = send.Encode(event) // the client notices
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func kindOf(name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: name}
}

// send delivers an event of a policy with a generation.
func (s *watchServer) send(t *testing.T, kind string, generation int64) {
	t.Helper()
	text, err := json.Marshal(metav1.PartialObjectMetadata{
		TypeMeta:   kindOf("PartialObjectMetadata"),
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", UID: "u", Generation: generation},
	})
	must(t, err)
	s.events <- metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: text}}
}

func (s *watchServer) subject(t *testing.T) Subject {
	t.Helper()
	client, err := metadata.NewForConfig(&rest.Config{Host: s.URL, QPS: -1})
	must(t, err)
	return SubjectAt(client,
		Location{networkingv1.SchemeGroupVersion.WithResource("networkpolicies"),
			"a", "p"})
}

// What is watched is one object by its name, from what was listed on, until the watch breaks.
func TestSubjectWatch(t *testing.T) {
	s := newWatchServer(t, false)
	first, versions, err := s.subject(t).Watch(t.Context())
	must(t, err)
	if first != nil {
		t.Errorf("there is %v; want nothing", first)
	}

	began := time.Now()
	for _, want := range []struct {
		event      string
		generation int64
	}{{"ADDED", 1}, {"BOOKMARK", 0}, {"MODIFIED", 2}, {"DELETED", 0}} {
		s.send(t, want.event, want.generation)
		if want.event == "BOOKMARK" {
			continue
		}
		version := <-versions
		if got := revisionOf(version.Object).generation; got != want.generation {
			t.Errorf("%s delivers generation %d; want %d", want.event, got, want.generation)
		}
		if version.Came.Before(began) {
			t.Errorf("%s came at %v; want it later than %v", want.event, version.Came, began)
		}
	}
	close(s.events)
	if version, open := <-versions; open {
		t.Errorf("a watch that broke delivers %+v", version)
	}

	const path = "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies" +
		"?fieldSelector=metadata.name%3Dp"
	s.mu.Lock()
	defer s.mu.Unlock()
	want := []string{path, path + "&resourceVersion=7&watch=true"}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// Who may not watch an object is told so.
func TestSubjectWatchForbidden(t *testing.T) {
	s := newWatchServer(t, true)
	if _, _, err := s.subject(t).Watch(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("Watch() = %v; want that it is forbidden", err)
	}
}
