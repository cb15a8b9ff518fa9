// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// api is an API server whose every read takes a while: it answers with what it had in the middle.
type api struct {
	takes   time.Duration
	watched bool // it can be watched: the watch delivers a change at once

	mu      sync.Mutex
	changes chan kube.Version
	object  metav1.Object
	changed time.Time
	failing error
	reads   map[string]int // by the name of the object
}

func (a *api) subject(object protocol.Object) kube.Subject {
	subject := kube.Subject{Get: a.get(object)}
	if a.watched {
		subject.Watch = func(context.Context) (metav1.Object, <-chan kube.Version, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.changes = make(chan kube.Version, 1)
			return a.object, a.changes, a.failing
		}
	}
	return subject
}

func (a *api) get(object protocol.Object) kube.Get {
	return func(context.Context) (metav1.Object, error) {
		time.Sleep(a.takes / 2)
		a.mu.Lock()
		a.reads[object.Name]++
		now, err := a.object, a.failing
		a.mu.Unlock()
		time.Sleep(a.takes / 2)
		return now, err
	}
}

// accept changes the object.
func (a *api) accept() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.object, a.changed = &metav1.ObjectMeta{UID: "a"}, time.Now()
	if a.changes != nil {
		a.changes <- kube.Version{Object: a.object, Came: a.changed}
	}
}

// expectContains checks that the start contains the change.
func (a *api) expectContains(t *testing.T, start measure.Start) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	want := measure.StartRead
	if a.watched {
		want = measure.StartWatchRead
	}
	if start.Source != want || a.changed.Before(start.At) || a.changed.After(start.Latest()) {
		t.Errorf("the change was at %v; the start is %+v after reads %v", a.changed, start, a.reads)
	}
}

// The agent reads what the trigger changes from the plan on, and its samples say when the API had
// accepted it. What it cannot read it says once, and measures all the same.
func TestRemoteReadsTheTrigger(t *testing.T) {
	policy := protocol.Object{Version: "v1", Resource: "networkpolicies", Name: "allow"}
	mine := protocol.Object{Version: "v1", Resource: "pods", Namespace: "home", Name: "me"}
	other := protocol.Object{Version: "v1", Resource: "pods", Namespace: "home", Name: "other"}
	tests := []struct {
		name    string
		changes []protocol.Object
		watched bool
		failing error
		reads   string // the name of what is read
	}{
		{"a policy", []protocol.Object{policy}, false, nil, "allow"},
		{"a policy that is watched", []protocol.Object{policy}, true, nil, "allow"},
		{"labels of all agents' pods", []protocol.Object{other, mine}, false, nil, "me"},
		{"several objects", []protocol.Object{policy, other}, false, nil, ""},
		{"none", nil, false, nil, ""},
		{"what may not be read", []protocol.Object{policy}, true, errors.New("forbidden"), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &api{takes: time.Millisecond, watched: test.watched,
					failing: test.failing, reads: make(map[string]int)}
				s := newStandOf(t, RemoteConfig{Pod: "me", Agents: 1,
					Config: Config{ClientNamespace: "home"}}, server.subject)
				s.pod("a", "a", "10.0.0.1")
				s.step(protocol.StepProve, allowedA())
				s.sleep(time.Second)
				s.plan.Changes = test.changes
				s.step(protocol.StepTrigger)
				s.sleep(20 * time.Millisecond)
				server.accept()
				s.network.open("10.0.0.1")
				s.sleep(time.Second)
				s.step(protocol.StepFinish)
				samples, _ := s.exit()
				if len(samples) != 1 || samples[0].Status != measure.Measured {
					t.Fatalf("samples %+v; want one that is measured", samples)
				}

				start := samples[0].Start
				if test.reads == "" {
					if start.Source != "" {
						t.Errorf("the start is %+v; want none: the runner knows better", start)
					}
				} else {
					server.expectContains(t, start)
					if paced := s.network.triggered; !paced.Equal(start.Latest()) {
						t.Errorf("pairs are paced since %v; want since %v", paced, start.Latest())
					}
					if server.reads[test.reads] < 3 {
						t.Errorf("the reads were %v; want some of %s", server.reads, test.reads)
					}
				}

				warned := 0
				for _, line := range s.lines {
					if line.Warn != nil && strings.Contains(line.Warn.Text, "cannot read") {
						warned++
					}
				}
				if (warned == 1) != (test.failing != nil) {
					t.Errorf("%d warnings; want one: %t", warned, test.failing != nil)
				}
			})
		})
	}
}
