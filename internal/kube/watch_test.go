// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
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

// policyWatch is WatchPolicy in the background.
type policyWatch struct {
	t      *testing.T
	client *fake.Clientset
	began  time.Time

	mu     sync.Mutex
	events []measure.Event
}

// newPolicyWatch has so many clients, with some verbs forbidden.
func newPolicyWatch(t *testing.T, clients int, forbidden ...string) *policyWatch {
	t.Helper()
	w := &policyWatch{t: t, client: fake.NewClientset(), began: time.Now()}
	for i := range clients {
		must(t, w.client.Tracker().Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "clients", Name: fmt.Sprint("client-", i),
		}}))
	}

	denied := apierrors.NewForbidden(networkingv1.Resource("networkpolicies"), "", errors.New("no"))
	for _, verb := range forbidden {
		w.client.PrependReactor(verb, "networkpolicies",
			func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, denied })
		if verb == "watch" {
			w.client.PrependWatchReactor("networkpolicies",
				func(clienttesting.Action) (bool, watch.Interface, error) {
					return true, nil, denied
				})
		}
	}
	return w
}

// start watches until the test ends.
func (w *policyWatch) start() {
	ctx, cancel := context.WithCancel(w.t.Context())
	synced, done := make(chan struct{}), make(chan error)
	go func() {
		done <- Namespace{w.client, "clients"}.WatchPolicy(ctx, "allow",
			func(event measure.Event) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.events = append(w.events, event)
			}, func() { close(synced) })
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			w.t.Errorf("WatchPolicy() = %v; want %v", err, context.Canceled)
		}
	})
	<-synced
	w.began = time.Now()
}

// watchPolicy is a watch that has begun.
func watchPolicy(t *testing.T, clients int, forbidden ...string) *policyWatch {
	t.Helper()
	w := newPolicyWatch(t, clients, forbidden...)
	w.start()
	return w
}

func (w *policyWatch) create(uid types.UID) {
	w.t.Helper()
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "clients", Name: "allow", UID: uid},
	}
	must(w.t, second(w.client.NetworkingV1().NetworkPolicies("clients").Create(w.t.Context(),
		policy, metav1.CreateOptions{})))
}

func (w *policyWatch) delete() {
	w.t.Helper()
	must(w.t, w.client.NetworkingV1().NetworkPolicies("clients").Delete(w.t.Context(), "allow",
		metav1.DeleteOptions{}))
}

// expect checks what happened to the policy, and returns the events.
func (w *policyWatch) expect(want ...string) []measure.Event {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var got []string
	for _, event := range w.events {
		got = append(got, event.Type.String()+" "+event.Object.UID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Fatalf("events (-want +got):\n%s", diff)
	}
	return w.events
}

// expectRead checks that an event's start is from reads, and a watch if there was one, contains an
// instant, and is no wider.
func (w *policyWatch) expectRead(
	event measure.Event, source measure.StartSource, after, widest time.Duration,
) {
	w.t.Helper()
	start := measure.StartOf(event)
	if from := start.At.Sub(w.began); start.Source != source || from > after ||
		from+start.Uncertainty < after || start.Uncertainty > widest {
		w.t.Errorf("the start is %s, from %s for %s; want %s, to contain %s, and at most %s",
			start.Source, from, start.Uncertainty, source, after, widest)
	}
}

func (w *policyWatch) reads() (count int) {
	for _, action := range w.client.Actions() {
		if action.GetVerb() == "get" {
			count++
		}
	}
	return count
}

// While a policy does not exist it is read as well: its event says since when it can have existed.
// Nobody reads one that is there.
func TestWatchPolicyReadsItUntilItExists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchPolicy(t, 1)
		created := time.Second + time.Millisecond
		time.Sleep(created)
		w.create("1")
		time.Sleep(time.Minute)
		if reads := w.reads(); reads < 250 || reads > 310 {
			t.Errorf("%d reads in a second without the policy and a minute with it; want 300",
				reads)
		}
		w.delete()
		time.Sleep(time.Second)
		w.create("2")
		events := w.expect("added 1", "deleted 1", "added 2")
		w.expectRead(events[0], measure.StartWatchRead, created, MinReadInterval)
		w.expectRead(events[2], measure.StartWatchRead, created+time.Minute+time.Second,
			MinReadInterval)
	})
}

// Without the right to read it, or with many clients, the arrival of the notification is the start.
func TestWatchPolicyWithoutReads(t *testing.T) {
	tests := []struct {
		name      string
		forbidden []string
		clients   int
		reads     int
	}{
		{"no right to get", []string{"get"}, 1, 1},
		{"too many clients", nil, 31, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := watchPolicy(t, test.clients, test.forbidden...)
				time.Sleep(time.Minute)
				w.create("1")
				start := measure.StartOf(w.expect("added 1")[0])
				want := measure.Start{Source: measure.StartWatch, At: w.began.Add(time.Minute)}
				if start != want {
					t.Errorf("the start is %+v; want %+v", start, want)
				}
				if reads := w.reads(); reads > test.reads {
					t.Errorf("%d reads; want at most %d", reads, test.reads)
				}
			})
		})
	}
}

// Several clients share the reads that all of them may send.
func TestWatchPolicyBesideOtherClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 6
		w := watchPolicy(t, clients)
		const created = 55*time.Second + time.Millisecond
		time.Sleep(created)
		w.create("1")
		w.expectRead(w.expect("added 1")[0], measure.StartWatchRead, created, ReadInterval(clients))
		if reads := w.reads(); reads > 55*maxReads/clients+10 {
			t.Errorf("%d reads in 55 s; want %d", reads, 55*maxReads/clients)
		}
	})
}

// News that a watch delivers late is from when the policy was read.
func TestWatchPolicyLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPolicyWatch(t, 1)
		w.client.PrependWatchReactor("networkpolicies",
			func(action clienttesting.Action) (bool, watch.Interface, error) {
				events, err := w.client.Tracker().Watch(action.GetResource(), action.GetNamespace())
				late := func(event watch.Event) (watch.Event, bool) {
					time.Sleep(300 * time.Millisecond)
					return event, true
				}
				return true, watch.Filter(events, late), err
			})
		w.start()
		time.Sleep(time.Second + time.Millisecond)
		w.create("1")
		time.Sleep(time.Second)
		w.expectRead(w.expect("added 1")[0], measure.StartWatchRead, time.Second+time.Millisecond,
			2*MinReadInterval)
	})
}

// A client that may only get its policy reads it: it learns of its creation, deletion and
// replacement, and between which reads it came.
func TestWatchPolicyWithPermissionToGetOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchPolicy(t, 1, "list", "watch")
		created := time.Second + time.Millisecond
		time.Sleep(time.Second + time.Millisecond)
		w.create("1")
		time.Sleep(time.Second)
		w.delete()
		w.create("2")
		time.Sleep(time.Second)
		w.delete()
		time.Sleep(time.Second)
		events := w.expect("added 1", "deleted 1", "added 2", "deleted 2")
		w.expectRead(events[0], measure.StartRead, created, MinReadInterval)
		w.expectRead(events[2], measure.StartRead, created+time.Second, idleInterval)
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
