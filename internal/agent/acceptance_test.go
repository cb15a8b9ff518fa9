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

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// api is an API server whose every read takes a while: it answers with what it had in the middle.
type api struct {
	takes time.Duration

	mu       sync.Mutex
	revision kube.Revision
	changed  time.Time
	failing  error
	reads    map[string]int // by the name of the object
}

func (a *api) read(_ context.Context, object protocol.Object) (kube.Revision, error) {
	time.Sleep(a.takes / 2)
	a.mu.Lock()
	a.reads[object.Name]++
	revision, err := a.revision, a.failing
	a.mu.Unlock()
	time.Sleep(a.takes / 2)
	return revision, err
}

// accept changes the object.
func (a *api) accept() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revision, a.changed = kube.Revision{UID: "a"}, time.Now()
}

func (a *api) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failing = err
}

// expectContains checks that the start contains the change.
func (a *api) expectContains(t *testing.T, start measure.Start) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if start.Source != measure.StartRead || a.changed.Before(start.At) ||
		a.changed.After(start.Latest()) {
		t.Errorf("the change was at %v; the start is %+v after reads %v", a.changed, start, a.reads)
	}
}

func TestAcceptanceContains(t *testing.T) {
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
					server := &api{takes: test.takes, reads: make(map[string]int)}
					a := acceptance{read: server.read, interval: minReadInterval}
					if err := a.begin(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.AfterFunc(time.Duration(after)*time.Millisecond/2+time.Microsecond,
						server.accept)

					start, _ := a.await(t.Context())
					server.expectContains(t, start)
					if start.Uncertainty > test.widest {
						t.Errorf("the start is known to %s; want at most %s", start.Uncertainty,
							test.widest)
					}
				})
			}
		})
	}
}

// A read that fails makes the interval wider, not wrong.
func TestAcceptanceSurvivesFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &api{takes: time.Millisecond, reads: make(map[string]int)}
		a := acceptance{read: server.read, interval: minReadInterval}
		if err := a.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(20*time.Millisecond, func() { server.fail(errors.New("busy")) })
		time.AfterFunc(50*time.Millisecond, server.accept)
		time.AfterFunc(80*time.Millisecond, func() { server.fail(nil) })

		start, _ := a.await(t.Context())
		server.expectContains(t, start)
	})
}

func TestReadInterval(t *testing.T) {
	tests := []struct {
		agents int
		want   time.Duration
	}{
		{1, minReadInterval}, {3, 10 * time.Millisecond}, {30, 100 * time.Millisecond}, {31, 0},
	}
	for _, test := range tests {
		if got := readInterval(test.agents); got != test.want {
			t.Errorf("%d agents read every %s; want %s", test.agents, got, test.want)
		}
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
		failing error
		reads   string // the name of what is read
	}{
		{"a policy", []protocol.Object{policy}, nil, "allow"},
		{"labels of all agents' pods", []protocol.Object{other, mine}, nil, "me"},
		{"several objects", []protocol.Object{policy, other}, nil, ""},
		{"none", nil, nil, ""},
		{"what may not be read", []protocol.Object{policy}, errors.New("forbidden"), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &api{takes: time.Millisecond, failing: test.failing,
					reads: make(map[string]int)}
				s := newStandOf(t, RemoteConfig{Pod: "me", Agents: 1,
					Config: Config{ClientNamespace: "home"}}, server.read)
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
