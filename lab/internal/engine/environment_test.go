// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/need"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// waitTimeout is how long a test waits for something that must come.
const waitTimeout = 10 * time.Second

var testPodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/20"),
	netip.MustParsePrefix("fd00:10:244::/64")}

// environment is an engine on a real router with real hosts around it. Its API is the fake
// clientset: with a thousand writes the connection table would take minutes with a real API server,
// and what the engine needs of one (a list, a watch, in order) the fake has. The lab's own tests
// use the real one.
type environment struct {
	t       testing.TB
	ctx     context.Context
	client  *fake.Clientset
	net     *network
	engine  *engine
	records *recordLog
	// underWay is the longest time from the sending of a packet to its verdict.
	underWay time.Duration

	namespaces map[string]*corev1.Namespace
	pods       map[string]*corev1.Pod // by host name
	policies   map[string]*networkingv1.NetworkPolicy
}

// recordLog collects records, and wakes those who wait for one.
type recordLog struct {
	mu      sync.Mutex
	all     []truth.Record
	changed chan struct{}
}

func newRecordLog() *recordLog { return &recordLog{changed: make(chan struct{})} }

func (l *recordLog) Begin() error { return nil }

func (l *recordLog) Write(r truth.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r)
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

func (l *recordLog) snapshot() ([]truth.Record, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all), l.changed
}

// await returns the first record from the given length of the log on that fulfils a condition.
func (l *recordLog) await(
	t testing.TB, from int, what string, is func(truth.Record) bool,
) truth.Record {
	t.Helper()
	timeout := time.After(waitTimeout)
	for {
		records, changed := l.snapshot()
		if i := slices.IndexFunc(records[min(from, len(records)):], is); i >= 0 {
			return records[from+i]
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("no truth record of %s within %v", what, waitTimeout)
		}
	}
}

// newEnvironment starts one whose engine filters in the kernel.
func newEnvironment(t testing.TB) *environment {
	t.Helper()
	return startEnvironment(t, 0)
}

// startEnvironment is newEnvironment with an engine that has a number of verdicts a second in user
// space, 0 for one that filters in the kernel.
func startEnvironment(t testing.TB, verdicts int) *environment {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &environment{
		t: t, ctx: ctx, client: fake.NewClientset(), net: newNetwork(t), records: newRecordLog(),
		underWay:   30 * time.Millisecond,
		namespaces: map[string]*corev1.Namespace{}, pods: map[string]*corev1.Pod{},
		policies: map[string]*networkingv1.NetworkPolicy{},
	}
	k := kernelIn(t, w.net.router)
	var group errgroup.Group
	if verdicts > 0 {
		// They wait for a process, on a machine that may be busy.
		w.underWay = 400 * time.Millisecond
		need.Machine(t, w.net.router.Do(k.openQueue), "use a kernel that has what it names")
		group.Go(func() error { return k.queue.Run(ctx, verdicts) })
	}
	w.engine = newEngine(Config{Node: "node-0", PodCIDRs: testPodCIDRs}, w.client, k, w.records)
	watching := w.watches()
	group.Go(func() error { return w.engine.run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Errorf("the engine ended with: %v", err)
		}
	})
	// The fake does not replay what happens between a list and its watch.
	for range 3 {
		select {
		case <-watching:
		case <-time.After(waitTimeout):
			t.Fatal("the engine does not watch")
		}
	}
	w.records.await(t, 0, "the engine being in step", func(r truth.Record) bool {
		return len(r.Causes) > 0 && r.Causes[0].Event == "synced"
	})
	return w
}

// watches tells of every watch that has begun.
func (w *environment) watches() <-chan struct{} {
	began := make(chan struct{}, 16)
	w.client.PrependWatchReactor("*", func(action clienttesting.Action) (bool, watch.Interface,
		error) {
		options := metav1.ListOptions{}
		if a, ok := action.(clienttesting.WatchActionImpl); ok {
			options = a.ListOptions
		}
		watcher, err := w.client.Tracker().Watch(action.GetResource(), action.GetNamespace(),
			options)
		select {
		case began <- struct{}{}:
		default: // nobody counts the watches of later engines
		}
		return true, watcher, err
	})
	return began
}

// write makes a change through the API and waits until the engine has carried it out.
func (w *environment) write(
	kind, event string, object metav1.Object, do func() error,
) truth.Record {
	w.t.Helper()
	before, _ := w.records.snapshot()
	if err := do(); err != nil {
		w.t.Fatalf("write %s %s: %v", kind, object.GetName(), err)
	}
	what := fmt.Sprintf("%s %s/%s %s", kind, object.GetNamespace(), object.GetName(), event)
	return w.records.await(w.t, len(before), what, func(r truth.Record) bool {
		return slices.ContainsFunc(r.Causes, func(c truth.Cause) bool {
			return c.Kind == kind && c.Event == event && c.Namespace == object.GetNamespace() &&
				c.Name == object.GetName()
		})
	})
}

func (w *environment) putNamespace(name string, labels map[string]string) {
	w.t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("ns-" + name),
		Labels: labels}}
	_, exists := w.namespaces[name]
	w.namespaces[name] = n
	if exists {
		w.write("Namespace", "updated", n, func() error {
			_, err := w.client.CoreV1().Namespaces().Update(w.ctx, n, metav1.UpdateOptions{})
			return err
		})
		return
	}
	w.write("Namespace", "added", n, func() error {
		_, err := w.client.CoreV1().Namespaces().Create(w.ctx, n, metav1.CreateOptions{})
		return err
	})
}

func (w *environment) createPod(pod *corev1.Pod) truth.Record {
	w.t.Helper()
	w.pods[pod.Namespace+"/"+pod.Name] = pod
	return w.write("Pod", "added", pod, func() error {
		_, err := w.client.CoreV1().Pods(pod.Namespace).Create(w.ctx, pod, metav1.CreateOptions{})
		return err
	})
}

// updatePod changes a copy of a pod, so that the fake and the engine never share one.
func (w *environment) updatePod(name string, change func(*corev1.Pod)) {
	w.t.Helper()
	pod := w.pods[name].DeepCopy()
	change(pod)
	w.pods[name] = pod
	w.write("Pod", "updated", pod, func() error {
		_, err := w.client.CoreV1().Pods(pod.Namespace).Update(w.ctx, pod, metav1.UpdateOptions{})
		return err
	})
}

func (w *environment) deletePod(name string) {
	w.t.Helper()
	pod := w.pods[name]
	delete(w.pods, name)
	w.write("Pod", "deleted", pod, func() error {
		return w.client.CoreV1().Pods(pod.Namespace).Delete(w.ctx, pod.Name, metav1.DeleteOptions{})
	})
}

func (w *environment) labelPod(name string, labels map[string]string) {
	w.t.Helper()
	w.updatePod(name, func(p *corev1.Pod) { p.Labels = labels })
}

func (w *environment) createPolicy(p *networkingv1.NetworkPolicy) truth.Record {
	w.t.Helper()
	w.policies[p.Name] = p
	return w.write("NetworkPolicy", "added", p, func() error {
		_, err := w.client.NetworkingV1().NetworkPolicies(p.Namespace).Create(w.ctx, p,
			metav1.CreateOptions{})
		return err
	})
}

func (w *environment) updatePolicy(p *networkingv1.NetworkPolicy) {
	w.t.Helper()
	w.policies[p.Name] = p
	w.write("NetworkPolicy", "updated", p, func() error {
		_, err := w.client.NetworkingV1().NetworkPolicies(p.Namespace).Update(w.ctx, p,
			metav1.UpdateOptions{})
		return err
	})
}

func (w *environment) deletePolicy(name string) {
	w.t.Helper()
	p := w.policies[name]
	delete(w.policies, name)
	w.write("NetworkPolicy", "deleted", p, func() error {
		return w.client.NetworkingV1().NetworkPolicies(p.Namespace).Delete(w.ctx, p.Name,
			metav1.DeleteOptions{})
	})
}

// model is what the API says at this moment.
func (w *environment) model() model {
	var m model
	for _, n := range w.namespaces {
		m.namespaces = append(m.namespaces, n)
	}
	for _, p := range w.pods {
		m.pods = append(m.pods, p)
	}
	for _, p := range w.policies {
		m.policies = append(m.policies, p)
	}
	return m
}

// expects is the model's answer for an attempt. An address of the pods' range that no pod has is
// blocked.
func (w *environment) expects(m model, a *attempt) bool {
	from, to := m.party(a.from.address(a.family).AsSlice()),
		m.party(a.to.address(a.family).AsSlice())
	from.node, to.node = a.from.name == "node", a.to.name == "node"
	if a.from.isPod() && from.pod == nil || a.to.isPod() && to.pod == nil && !from.node {
		return false
	}
	return m.allows(from, to, a.protocol, a.port)
}

// isPod says whether the host is meant to be a pod's: it is named namespace/name.
func (h *host) isPod() bool { return strings.Contains(h.name, "/") }

// check compares real connections, and the state that the truth log describes, with the model. It
// returns how many connections are blocked.
func (w *environment) check(t *testing.T) (blocked int) {
	t.Helper()
	m := w.model()
	state := w.replay()
	for _, a := range w.tryAll(t, func(a *attempt) bool { return w.expects(m, a) }) {
		expected := w.expects(m, a)
		if !expected {
			blocked++
		}
		if got := a.outcome == answered; got != expected {
			t.Errorf("%v is %s; NetworkPolicy says allowed=%v", a, a.outcome, expected)
		}
		if a.from.name == "node" {
			continue // passes through no chain of the table
		}
		if got := a.verdict(state); got != expected {
			t.Errorf("%v: the truth log says allowed=%v, NetworkPolicy %v", a, got, expected)
		}
	}
	return blocked
}

// tryAll makes every connection between the hosts. A busy machine may answer late; that is not a
// denial, so what is expected to be allowed gets more time.
func (w *environment) tryAll(t *testing.T, expects func(*attempt) bool) []*attempt {
	t.Helper()
	attempts := everyAttempt(w.net.hosts)
	try(t, attempts, 120*time.Millisecond)
	var late []*attempt
	for _, a := range attempts {
		if expects(a) && a.outcome == silent {
			late = append(late, a)
		}
	}
	if len(late) > 0 {
		try(t, late, time.Second)
	}
	return attempts
}

// verdict is what a state says about the attempt.
func (a *attempt) verdict(s *truth.State) bool {
	return s.Verdict(a.from.address(a.family), a.to.address(a.family), string(a.protocol),
		uint16(a.port))
}

// replay is the state that the log's records lead to.
func (w *environment) replay() *truth.State {
	records, _ := w.records.snapshot()
	state := &truth.State{}
	for _, r := range records {
		for _, op := range r.Ops {
			state.Apply(op)
		}
	}
	return state
}
