// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// seen is what a test compares of an event.
type seen struct {
	Type    string
	UID     string
	After   time.Duration // from the beginning of the test to the arrival
	Initial bool
	Address string
}

// recorder is a sink that remembers.
type recorder struct {
	mu    sync.Mutex
	began time.Time
	seen  []seen
}

func (r *recorder) sink(event measure.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := seen{
		Type: event.Type.String(), UID: event.Object.UID,
		After: event.Arrived.Sub(r.began), Initial: event.Initial,
	}
	if len(event.Addresses) > 0 {
		one.Address = event.Addresses[0].String()
	}
	r.seen = append(r.seen, one)
}

func pod(name, uid, address string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "targets", Name: name, UID: types.UID(uid),
			Labels: map[string]string{"app": "web"},
		},
		Status: corev1.PodStatus{PodIP: address},
	}
}

// watchPods runs WatchPods in the background until the test ends.
func watchPods(t *testing.T, client *fake.Clientset) *recorder {
	t.Helper()
	r := &recorder{began: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- Namespace{client, "targets"}.WatchPods(ctx, "app = web", r.sink, func() {})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("WatchPods() = %v; want %v", err, context.Canceled)
		}
	})
	synctest.Wait()
	return r
}

func (r *recorder) expect(t *testing.T, want ...seen) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.seen); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWatchPodsTellsOldFromNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(pod("old", "1", "10.0.0.1"))
		r := watchPods(t, client)
		pods := client.CoreV1().Pods("targets")
		time.Sleep(10 * time.Second)
		must(t, second(pods.Create(t.Context(), pod("new", "2", ""), metav1.CreateOptions{})))
		time.Sleep(time.Second)
		must(
			t,
			second(pods.UpdateStatus(t.Context(), pod("new", "2", "fd00::2"),
				metav1.UpdateOptions{})),
		)
		time.Sleep(time.Second)
		must(t, pods.Delete(t.Context(), "new", metav1.DeleteOptions{}))
		synctest.Wait()
		r.expect(t,
			seen{Type: "added", UID: "1", Initial: true, Address: "10.0.0.1"},
			seen{Type: "added", UID: "2", After: 10 * time.Second},
			seen{Type: "updated", UID: "2", After: 11 * time.Second, Address: "fd00::2"},
			seen{Type: "deleted", UID: "2", After: 12 * time.Second, Address: "fd00::2"},
		)
	})
}

// A pod that was re-created under its name while the watch was broken is another pod.
func TestWatchPodsAfterTheWatchBroke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(pod("web-0", "1", "10.0.0.1"), pod("web-1", "2", "10.0.0.2"))
		watches := breakable(client)
		r := watchPods(t, client)
		pods := client.CoreV1().Pods("targets")
		watches.cut()
		must(t, pods.Delete(t.Context(), "web-0", metav1.DeleteOptions{}))
		must(t, pods.Delete(t.Context(), "web-1", metav1.DeleteOptions{}))
		must(t, second(pods.Create(t.Context(), pod("web-0", "3", "10.0.0.3"),
			metav1.CreateOptions{})))
		watches.mend()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		var got []string
		for _, one := range r.seen {
			got = append(got, one.Type+" "+one.UID)
			if one.Initial != (one.UID != "3") && one.Type == "added" {
				t.Errorf("pod %s: initial is %v", one.UID, one.Initial)
			}
		}
		want := map[string]int{
			"added 1":   1,
			"added 2":   1,
			"added 3":   1,
			"deleted 1": 1,
			"deleted 2": 1,
		}
		have := make(map[string]int)
		for _, one := range got {
			have[one]++
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestWatchPolicyReadsTheAnnotation(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
	stamp := func(after time.Duration) string { return at.Add(after).Format(time.RFC3339Nano) }
	// Virtual time begins in the year 2000 (testing/synctest).
	arrival := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name    string
		text    string
		created time.Time
		want    time.Time
	}{
		{"a stamp with nanoseconds is kept to the nanosecond", stamp(0), at, at},
		{"a stamp that cannot be read counts as none", "yesterday", at, time.Time{}},
		{"one of a second before the arrival counts", arrival.Add(-time.Second).Format(
			time.RFC3339Nano), at, arrival.Add(-time.Second)},
		{"one of years before the creation does not", stamp(-20000 * time.Hour), at, time.Time{}},
		{"one of a minute before it does not", stamp(-time.Minute), at, time.Time{}},
		{"one of a minute after it does not", stamp(time.Minute), at, time.Time{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
					Namespace: "clients", Name: "allow", UID: "7",
					CreationTimestamp: metav1.NewTime(test.created.Truncate(time.Second)),
					Annotations: map[string]string{
						measure.TriggeredAtAnnotation: test.text,
					},
				}}
				client := fake.NewClientset(policy)
				ctx, cancel := context.WithCancel(t.Context())
				events := make(chan measure.Event, 1)
				done := make(chan error)
				go func() {
					done <- Namespace{client, "clients"}.WatchPolicy(ctx, "allow",
						func(event measure.Event) { events <- event }, func() {})
				}()
				if got := (<-events).TriggeredAt; !got.Equal(test.want) {
					t.Errorf("TriggeredAt = %v; want %v", got, test.want)
				}
				cancel()
				if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		})
	}
}

// A client that may only get its policy asks for it: it learns of its creation, deletion and
// replacement, and between which requests it came.
func TestWatchPolicyWithPermissionToGetOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		for _, verb := range []string{"list", "watch"} {
			forbidden := func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(networkingv1.Resource("networkpolicies"),
					"", errors.New("no"))
			}
			client.PrependReactor(verb, "networkpolicies", forbidden)
		}
		client.PrependWatchReactor(
			"networkpolicies",
			func(clienttesting.Action) (bool, watch.Interface, error) {
				return true, nil, apierrors.NewForbidden(networkingv1.Resource("networkpolicies"),
					"", errors.New("no"))
			},
		)
		ctx, cancel := context.WithCancel(t.Context())
		began, synced := time.Now(), make(chan struct{})
		var events []measure.Event
		done := make(chan error)
		go func() {
			done <- Namespace{client, "clients"}.WatchPolicy(ctx, "allow",
				func(event measure.Event) {
					events = append(events, event)
				}, func() { close(synced) })
		}()
		<-synced
		policies := client.NetworkingV1().NetworkPolicies("clients")
		create := func(uid types.UID) {
			must(t, second(policies.Create(ctx, &networkingv1.NetworkPolicy{
				ObjectMeta: metav1.ObjectMeta{Namespace: "clients", Name: "allow", UID: uid},
			}, metav1.CreateOptions{})))
		}
		time.Sleep(time.Second + time.Millisecond)
		create("1")
		time.Sleep(time.Second)
		must(t, policies.Delete(ctx, "allow", metav1.DeleteOptions{}))
		create("2")
		time.Sleep(time.Second)
		must(t, policies.Delete(ctx, "allow", metav1.DeleteOptions{}))
		time.Sleep(time.Second)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("WatchPolicy() = %v; want %v", err, context.Canceled)
		}
		var got []string
		for _, event := range events {
			got = append(got, event.Type.String()+" "+event.Object.UID)
		}
		if diff := cmp.Diff([]string{"added 1", "deleted 1", "added 2", "deleted 2"},
			got); diff != "" {
			t.Fatalf("events (-want +got):\n%s", diff)
		}
		start := measure.StartOf(events[0])
		if from := start.At.Sub(began); start.Source != measure.StartPoll ||
			from > time.Second+time.Millisecond ||
			from+start.Uncertainty < time.Second+time.Millisecond ||
			start.Uncertainty > 2*askInterval {
			t.Errorf("the start is %s, from %s for %s; want it to contain 1.001s", start.Source,
				from, start.Uncertainty)
		}
	})
}

// A client that may not even get its policy goes on asking until it is permitted.
func TestWatchPolicyWithoutPermission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(&networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "clients", Name: "allow", UID: "1"},
		})
		var permitted atomic.Bool
		client.PrependReactor(
			"*",
			"networkpolicies",
			func(clienttesting.Action) (bool, runtime.Object, error) {
				if permitted.Load() {
					return false, nil, nil
				}
				return true, nil, apierrors.NewForbidden(networkingv1.Resource("networkpolicies"),
					"", errors.New("no"))
			},
		)
		ctx, cancel := context.WithCancel(t.Context())
		events := make(chan measure.Event, 1)
		done := make(chan error)
		go func() {
			done <- Namespace{client, "clients"}.WatchPolicy(ctx, "allow",
				func(event measure.Event) { events <- event }, func() {})
		}()
		time.Sleep(3 * time.Second)
		permitted.Store(true)
		if event := <-events; !event.Initial || event.Object.UID != "1" {
			t.Errorf("the first event is %+v", event)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("WatchPolicy() = %v; want %v", err, context.Canceled)
		}
	})
}

func TestAddresses(t *testing.T) {
	status := corev1.PodStatus{
		PodIP:  "10.0.0.1",
		PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}, {IP: "nonsense"}},
	}
	want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
	if diff := cmp.Diff(want, addresses(status), cmp.Comparer(func(a, b netip.Addr) bool {
		return a == b
	})); diff != "" {
		t.Errorf("addresses() (-want +got):\n%s", diff)
	}
}

// wires are the watches of a fake clientset, which can be cut.
type wires struct {
	mu     sync.Mutex
	isCut  bool
	active []watch.Interface
}

// breakable makes the client's pod watches breakable: while they are cut new ones are refused, and
// then the resource version has expired.
func breakable(client *fake.Clientset) *wires {
	w := &wires{}
	client.PrependWatchReactor(
		"pods",
		func(action clienttesting.Action) (bool, watch.Interface, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.isCut {
				return true, nil, apierrors.NewResourceExpired("too old")
			}
			gvr := action.GetResource()
			watcher, err := client.Tracker().Watch(gvr, action.GetNamespace())
			if err == nil {
				w.active = append(w.active, watcher)
			}
			return true, watcher, err
		},
	)
	client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.isCut {
			return true, nil, apierrors.NewServiceUnavailable("cut")
		}
		return false, nil, nil
	})
	return w
}

func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for _, watcher := range w.active {
		watcher.Stop()
	}
}

func (w *wires) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}

func second[T any](_ T, err error) error { return err }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
