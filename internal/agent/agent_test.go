// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
)

// network is a loss-free network under virtual time: an address drops everything until it is opened
// and answers after a millisecond from then on.
type network struct {
	mu     sync.Mutex
	opened map[netip.Addr]time.Time
	// triggered is what the newest trigger of a pair counts from.
	triggered time.Time
	// searching says that the rate of the probes is not found yet.
	searching atomic.Bool
	// entries are what the probes may hold of a connection tracking table.
	entries atomic.Int64
}

// Epoch implements prober.
func (n *network) Epoch() time.Time { return time.Now() }

// Pace implements prober.
func (n *network) Pace() pace.State {
	return pace.State{Found: !n.searching.Load(), Rate: 500, RoundTrip: time.Millisecond}
}

// LimitConntrack implements prober.
func (n *network) LimitConntrack(entries int) { n.entries.Store(int64(entries)) }

// ConntrackEntries implements prober.
func (n *network) ConntrackEntries() int { return 7 }

// DropsAreHere implements prober.
func (n *network) DropsAreHere(bool) {}

func (n *network) open(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opened == nil {
		n.opened = make(map[netip.Addr]time.Time)
	}
	n.opened[netip.MustParseAddr(address)] = time.Now()
}

func (n *network) shut(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.opened, netip.MustParseAddr(address))
}

// follow implements prober: a probe every 5 ms, whose outcomes come in the order of their sends.
func (n *network) follow(to netip.AddrPort, observer probe.Observer) following {
	one := &walk{network: n, to: to.Addr(), observer: observer, stop: make(chan struct{})}
	go one.run()
	return one
}

// walk is a pair that is being probed under virtual time.
type walk struct {
	network  *network
	to       netip.Addr
	observer probe.Observer
	stop     chan struct{}
	once     sync.Once
	pending  []measure.Outcome
	answered bool
	overdue  int
}

// Trigger implements following.
func (w *walk) Trigger(at time.Time) {
	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	w.network.triggered = at
}

// Stop implements following.
func (w *walk) Stop() { w.once.Do(func() { close(w.stop) }) }

func (w *walk) run() {
	defer w.observer.OnStopped()
	planned := time.Now()
	for {
		due := planned
		if len(w.pending) > 0 && w.pending[0].Done.Before(due) {
			due = w.pending[0].Done
		}
		select {
		case <-w.stop:
			for _, o := range w.pending {
				if o.Done.After(time.Now()) {
					o.Verdict, o.Done = measure.Ambiguous, time.Now()
				}
				if w.observer.OnOutcome(o) {
					return
				}
			}
			return
		case <-time.After(time.Until(due)):
		}
		if !time.Now().Before(planned) {
			w.hint()
			w.pending = append(w.pending, w.send())
			planned = planned.Add(5 * time.Millisecond)
		}
		for len(w.pending) > 0 && !w.pending[0].Done.After(time.Now()) {
			first := w.pending[0]
			w.pending = w.pending[1:]
			w.answered = w.answered || first.Verdict == measure.Allowed
			if w.observer.OnOutcome(first) {
				return
			}
		}
	}
}

// hint tells the observer how many replies are overdue, as if they took less than the time between
// two probes.
func (w *walk) hint() {
	overdue := 0
	for _, o := range w.pending {
		if o.Verdict == measure.Dropped {
			overdue++
		}
	}
	if w.answered && overdue != w.overdue {
		w.overdue = overdue
		w.observer.OnOverdue(overdue, time.Now())
	}
}

// send is the outcome that a probe sent now will have.
func (w *walk) send() measure.Outcome {
	now := time.Now()
	o := measure.Outcome{
		Verdict: measure.Dropped,
		Planned: now,
		Sent:    now,
		SentBy:  now,
		Done:    now.Add(500 * time.Millisecond),
	}
	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	if _, open := w.network.opened[w.to]; open {
		o.Verdict, o.Done = measure.Allowed, now.Add(time.Millisecond)
	}
	return o
}

// listener is open and never called: a real one would stop virtual time.
type listener struct{ closed chan struct{} }

func (l listener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l listener) Close() error              { close(l.closed); return nil }
func (l listener) Addr() net.Addr            { return &net.TCPAddr{} }

// bench is a client under test with the cluster and the network around it.
type bench struct {
	t       *testing.T
	client  *fake.Clientset
	network network
	config  Config
	cancel  context.CancelFunc
	ended   chan error
	env     *environment
	logged  lockedBuffer
}

// lockedBuffer is a buffer that any goroutine may write to.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(text)
}

// captureLog keeps what is logged until the test ends.
func (b *bench) captureLog() {
	state := klog.CaptureState()
	b.t.Cleanup(state.Restore)
	klog.LogToStderr(false)
	klog.SetOutput(&b.logged)
}

// log is what was logged so far.
func (b *bench) log() string {
	klog.Flush()
	b.logged.mu.Lock()
	defer b.logged.mu.Unlock()
	return b.logged.buffer.String()
}

func newBench(t *testing.T, existing ...*corev1.Pod) *bench {
	b := &bench{
		t:      t,
		client: fake.NewClientset(),
		config: DefaultConfig(),
		ended:  make(chan error, 1),
	}
	b.config.ClientNamespace, b.config.TargetNamespace = "clients", "targets"
	b.config.TargetSelector, b.config.TargetPort = "app=web", 80
	b.config.AllowPolicyName = "allow"
	for _, pod := range existing {
		b.createPod(pod)
	}
	return b
}

// start runs the scenario until the test ends.
func (b *bench) start(scenario Scenario) {
	b.t.Helper()
	var ctx context.Context
	ctx, b.cancel = context.WithCancel(context.Background())
	b.env = newEnvironment(scenario, b.config, b.client, &b.network)
	go func() { b.ended <- b.env.run(ctx, listener{make(chan struct{})}) }()
	b.t.Cleanup(b.cancel)
	synctest.Wait()
}

// stop ends the client as a signal would and returns what it returned.
func (b *bench) stop() error {
	began := time.Now()
	b.cancel()
	err := <-b.ended
	if took := time.Since(began); took > time.Second {
		b.t.Errorf("the client took %s to end; want at most a second", took)
	}
	return err
}

func (b *bench) createPod(pod *corev1.Pod) {
	b.t.Helper()
	_, err := b.client.CoreV1().
		Pods("targets").
		Create(context.Background(), pod, metav1.CreateOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) assign(pod *corev1.Pod, address string) {
	b.t.Helper()
	pod = pod.DeepCopy()
	pod.Status.PodIP = address
	_, err := b.client.CoreV1().
		Pods("targets").
		UpdateStatus(context.Background(), pod, metav1.UpdateOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) deletePod(name string) {
	b.t.Helper()
	if err := b.client.CoreV1().Pods("targets").Delete(context.Background(), name,
		metav1.DeleteOptions{}); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) createPolicy() {
	b.t.Helper()
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: "clients", Name: "allow", UID: "policy", CreationTimestamp: metav1.Now(),
	}}
	_, err := b.client.NetworkingV1().NetworkPolicies("clients").
		Create(context.Background(), policy, metav1.CreateOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) deletePolicy() {
	b.t.Helper()
	err := b.client.NetworkingV1().NetworkPolicies("clients").
		Delete(context.Background(), "allow", metav1.DeleteOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// sample is the only result so far of the pod with the UID.
func (b *bench) sample(uid string) measure.Sample {
	b.t.Helper()
	var found []measure.Sample
	for _, sample := range b.env.results.Samples() {
		if sample.Target.Pod.UID == uid {
			found = append(found, sample)
		}
	}
	if len(found) != 1 {
		b.t.Fatalf("pod %s has %d results; want 1", uid, len(found))
	}
	return found[0]
}

// expectStatus checks how the pod ended.
func (b *bench) expectStatus(uid string, want measure.Status) measure.Sample {
	b.t.Helper()
	sample := b.sample(uid)
	if sample.Status != want {
		b.t.Errorf("pod %s is %s (%s); want %s", uid, sample.Status, sample.Reason, want)
	}
	return sample
}

// expectCause checks why the sample is invalid.
func (b *bench) expectCause(sample measure.Sample, want measure.Cause) {
	b.t.Helper()
	if sample.Cause != want {
		b.t.Errorf("the cause is %q; want %q", sample.Cause, want)
	}
}

// expectLatency checks that the sample's interval contains the latency and is no wider than the
// probe interval, a reply and the time between two reads of what its start is known by.
func (b *bench) expectLatency(sample measure.Sample, want time.Duration) {
	b.t.Helper()
	latency := sample.Latency()
	if latency.Lower > want || latency.Upper < want {
		b.t.Errorf("latency in [%s, %s]; want it to contain %s", latency.Lower, latency.Upper, want)
	}
	most := b.config.ProbeInterval + 2*time.Millisecond
	if sample.Start.Source.Accepted() {
		most += kube.MinReadInterval
	}
	if latency.Resolution() > most {
		b.t.Errorf("resolution %s; want at most %s", latency.Resolution(), most)
	}
}

func pod(name, uid, address string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "targets", Name: name, UID: types.UID(uid),
			Labels: map[string]string{"app": "web"}, CreationTimestamp: metav1.Now(),
		},
		Status: corev1.PodStatus{PodIP: address},
	}
}

func TestPodCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pod("old", "old", "10.0.0.9"))
		b.config.MaxTargets = 1
		b.start(PodCreation())
		fresh := pod("new", "new", "")
		b.createPod(fresh)
		time.Sleep(3 * time.Second)
		b.assign(fresh, "10.0.0.1")
		time.Sleep(1234 * time.Millisecond)
		b.network.open("10.0.0.1")
		time.Sleep(time.Second)
		sample := b.expectStatus("new", measure.Measured)
		b.expectLatency(sample, 1234*time.Millisecond)
		if sample.Start.Source != measure.StartAddress {
			t.Errorf("start is %q; want %q", sample.Start.Source, measure.StartAddress)
		}
		if account := b.env.results.Account(); !account.AllMeasured() || account.Expected != 1 {
			t.Errorf("account: %s; the pod that was there before must not count", account)
		}
		if err := b.stop(); err != nil {
			t.Errorf("the client returned %v; want nil when it idled", err)
		}
	})
}

func TestPolicyCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pod("a", "a", "10.0.0.1"), pod("b", "b", "fd00::2"))
		b.config.ExitWhenDone = true
		b.start(PolicyCreation())
		time.Sleep(7 * time.Second)
		b.createPolicy()
		time.Sleep(300 * time.Millisecond)
		b.network.open("10.0.0.1")
		time.Sleep(50 * time.Millisecond)
		b.network.open("fd00::2")
		if err := <-b.ended; err != nil {
			t.Errorf("the client returned %v; want nil when all targets were measured", err)
		}
		b.expectLatency(b.expectStatus("a", measure.Measured), 300*time.Millisecond)
		sample := b.expectStatus("b", measure.Measured)
		b.expectLatency(sample, 350*time.Millisecond)
		if sample.Start.Source != measure.StartWatchRead || sample.Baseline != measure.Dropped {
			t.Errorf("start %q, baseline %q; want %q, %q", sample.Start.Source, sample.Baseline,
				measure.StartWatchRead, measure.Dropped)
		}
	})
}

// forbid is the answer to a client that lacks a right.
func forbid(clienttesting.Action) (bool, runtime.Object, error) {
	return true, nil, apierrors.NewForbidden(networkingv1.Resource("networkpolicies"), "", nil)
}

func TestPolicyCreationStatuses(t *testing.T) {
	tests := []struct {
		name   string
		opened bool // the target can be reached before the client starts
		blind  bool // the client may not get the policy: its notification is all that it has
		steps  func(b *bench)
		want   measure.Status
		check  func(b *bench, sample measure.Sample)
	}{
		{
			name: "a target that is reachable although there is no policy is invalid",
			steps: func(b *bench) {
				time.Sleep(time.Second)
				b.network.open("10.0.0.1")
				time.Sleep(5 * time.Second)
				if count := len(b.env.results.Samples()); count > 0 {
					b.t.Errorf("there are %d results before the policy; want none", count)
				}
				b.createPolicy()
				time.Sleep(time.Second)
			},
			want: measure.Invalid,
			check: func(b *bench, sample measure.Sample) {
				b.expectCause(sample, measure.ReachedWithoutPolicy)
			},
		},
		{
			name:   "a target that was denied late, but before the policy, is measured",
			opened: true,
			steps: func(b *bench) {
				time.Sleep(2 * time.Second)
				b.network.shut("10.0.0.1")
				time.Sleep(3 * time.Second)
				b.createPolicy()
				time.Sleep(100 * time.Millisecond)
				b.network.open("10.0.0.1")
				time.Sleep(time.Second)
			},
			want: measure.Measured,
			check: func(b *bench, sample measure.Sample) {
				b.expectLatency(sample, 100*time.Millisecond)
				if sample.FlapCount > 0 {
					b.t.Errorf("%d flaps; want none: nothing had been triggered", sample.FlapCount)
				}
			},
		},
		{
			name:   "a target whose denial is known only after the policy is measured",
			opened: true,
			steps: func(b *bench) {
				time.Sleep(2 * time.Second)
				b.network.shut("10.0.0.1")
				time.Sleep(100 * time.Millisecond) // no probe has run out of time yet
				b.createPolicy()
				time.Sleep(300 * time.Millisecond)
				b.network.open("10.0.0.1")
				time.Sleep(time.Second)
			},
			want: measure.Measured,
			check: func(b *bench, sample measure.Sample) {
				b.expectLatency(sample, 300*time.Millisecond)
			},
		},
		{
			name:   "a target that was never denied is invalid",
			opened: true,
			steps: func(b *bench) {
				b.createPolicy()
				time.Sleep(time.Second)
			},
			want: measure.Invalid,
			check: func(b *bench, sample measure.Sample) {
				b.expectCause(sample, measure.NeverDenied)
			},
		},
		{
			name:  "enforcement that beats its own notification is a measurement below zero",
			blind: true,
			steps: func(b *bench) {
				time.Sleep(time.Second)
				b.network.open("10.0.0.1")
				time.Sleep(40 * time.Millisecond)
				b.createPolicy()
				time.Sleep(time.Second)
			},
			want: measure.Measured,
			check: func(b *bench, sample measure.Sample) {
				b.expectLatency(sample, -40*time.Millisecond)
			},
		},
		{
			name: "what was reached before the policy was there is none of its effects",
			steps: func(b *bench) {
				time.Sleep(time.Second)
				b.network.open("10.0.0.1")
				time.Sleep(40 * time.Millisecond)
				b.createPolicy()
				time.Sleep(time.Second)
			},
			want: measure.Invalid,
			check: func(b *bench, sample measure.Sample) {
				b.expectCause(sample, measure.ReachedWithoutPolicy)
			},
		},
		{
			name: "a target that is deleted before it was reached is deleted",
			steps: func(b *bench) {
				time.Sleep(time.Second)
				b.createPolicy()
				b.deletePod("a")
				time.Sleep(time.Second)
			},
			want: measure.Deleted,
		},
		{
			name: "a target whose time runs out is censored",
			steps: func(b *bench) {
				time.Sleep(time.Second)
				b.createPolicy()
				time.Sleep(b.config.TargetTimeout + time.Second)
			},
			want: measure.Censored,
		},
		{
			name: "a target that is denied when the run ends is censored",
			steps: func(b *bench) {
				time.Sleep(time.Second)
				b.cancel()
				<-b.env.progress.concluded.sent
			},
			want: measure.Censored,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, pod("a", "a", "10.0.0.1"))
				b.config.ExitWhenDone = true
				b.config.TargetTimeout = 20 * time.Second
				if test.opened {
					b.network.open("10.0.0.1")
				}
				if test.blind {
					b.client.PrependReactor("get", "networkpolicies", forbid)
				}
				b.start(PolicyCreation())
				test.steps(b)
				sample := b.expectStatus("a", test.want)
				if test.check != nil {
					test.check(b, sample)
				}
				err := <-b.ended
				if measured := test.want == measure.Measured; measured != (err == nil) {
					t.Errorf("the client returned %v for a target that is %s", err, test.want)
				}
				if err != nil && !errors.Is(err, errNotAllMeasured) {
					t.Errorf("the client returned %v; want %v", err, errNotAllMeasured)
				}
			})
		})
	}
}

// A client that knows how many targets there will be is ready for the policy when all were seen
// denied, takes a target that is delivered after the policy, and says so if one never comes.
func TestPolicyCreationExpectedTargets(t *testing.T) {
	ready := func(b *bench) bool {
		select {
		case <-b.env.progress.ready.sent:
			return true
		default:
			return false
		}
	}
	begin := func(t *testing.T) *bench {
		b := newBench(t, pod("a", "a", "10.0.0.1"))
		b.config.ExpectedTargets, b.config.ExitWhenDone, b.config.TargetTimeout = 2, true,
			20*time.Second
		b.start(PolicyCreation())
		time.Sleep(2 * time.Second)
		if ready(b) {
			t.Error("the client is ready with one of two targets")
		}
		return b
	}
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		b.createPod(pod("b", "b", "10.0.0.2"))
		if ready(b) {
			t.Error("the client is ready before the second target was seen denied")
		}
		time.Sleep(time.Second)
		if !ready(b) {
			t.Error("the client is not ready although both targets were seen denied")
		}
		b.createPolicy()
		b.network.open("10.0.0.1")
		b.network.open("10.0.0.2")
		if err := <-b.ended; err != nil {
			t.Errorf("the client returned %v", err)
		}
		b.expectStatus("b", measure.Measured)
	})
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		b.createPolicy()
		b.network.open("10.0.0.1")
		time.Sleep(time.Second)
		b.expectStatus("a", measure.Measured)
		b.createPod(pod("b", "b", "10.0.0.2"))
		time.Sleep(time.Second)
		b.network.open("10.0.0.2")
		if err := <-b.ended; err != nil {
			t.Errorf("the client returned %v", err)
		}
		b.expectStatus("b", measure.Measured)
	})
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		b.createPolicy()
		b.network.open("10.0.0.1")
		if err := <-b.ended; !errors.Is(err, errNotAllMeasured) {
			t.Errorf("the client returned %v although a target never came", err)
		}
	})
}

// A client whose engine learns of it late can reach its targets for a while: it is ready once each
// was seen denied, or when it has waited for that long enough and the log says which were not.
func TestPolicyCreationReady(t *testing.T) {
	for name, denied := range map[string]bool{"denied late": true, "never denied": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, pod("a", "a", "10.0.0.1"), pod("b", "b", "10.0.0.2"))
				b.config.ExpectedTargets = 2
				b.network.open("10.0.0.1")
				began := time.Now()
				b.start(PolicyCreation())
				time.Sleep(2 * time.Second)
				if denied {
					b.network.shut("10.0.0.1")
				}
				<-b.env.progress.ready.sent
				waited := time.Since(began)
				if denied && (waited < 2*time.Second || waited > 3*time.Second) {
					t.Errorf("ready after %s; want 2s and the time of a probe", waited)
				}
				if !denied && waited.Truncate(time.Second) != deniedTimeout {
					t.Errorf("ready after %s; want %s", waited, deniedTimeout)
				}
			})
		})
	}
}

// A policy that is deleted before it took effect is no trigger any more: a target that can be
// reached without it is evaluated when it is created again.
func TestPolicyDeletedAndCreatedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pod("a", "a", "10.0.0.1"))
		b.start(PolicyCreation())
		time.Sleep(2 * time.Second)
		b.createPolicy()
		time.Sleep(time.Second)
		b.deletePolicy()
		b.network.open("10.0.0.1")
		time.Sleep(3 * time.Second)
		b.network.shut("10.0.0.1")
		time.Sleep(3 * time.Second)
		b.createPolicy()
		time.Sleep(200 * time.Millisecond)
		b.network.open("10.0.0.1")
		time.Sleep(time.Second)
		b.expectLatency(b.expectStatus("a", measure.Measured), 200*time.Millisecond)
	})
}

// Two watches are in no order: a pod that is older than the policy is a target even if it is
// delivered later.
func TestPolicyCreationOlderPodDeliveredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pod("a", "a", "10.0.0.1"))
		older := pod("b", "b", "10.0.0.2")
		b.start(PolicyCreation())
		time.Sleep(2 * time.Second)
		b.createPolicy()
		b.createPod(older)
		b.createPod(pod("c", "c", "10.0.0.3"))
		time.Sleep(time.Second)
		for _, address := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
			b.network.open(address)
		}
		time.Sleep(time.Second)
		b.expectStatus("a", measure.Measured)
		b.expectStatus("b", measure.Measured)
		if count := len(b.env.results.Samples()); count != 2 {
			t.Errorf("there are %d results; want 2: the third pod is younger than the policy",
				count)
		}
	})
}

// A client that starts after the policy still measures what is denied then, and says how coarse the
// start is.
func TestPolicyCreationStartedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pod("a", "a", "10.0.0.1"))
		b.createPolicy()
		time.Sleep(4 * time.Second)
		b.start(PolicyCreation())
		time.Sleep(2 * time.Second)
		b.network.open("10.0.0.1")
		time.Sleep(time.Second)
		sample := b.expectStatus("a", measure.Measured)
		if latency := sample.Latency(); latency.Lower > 6*time.Second ||
			latency.Upper < 6*time.Second {
			t.Errorf("latency in [%s, %s]; want it to contain 6s", latency.Lower, latency.Upper)
		}
		if sample.Start.Source != measure.StartCreation {
			t.Errorf("start is %q; want %q", sample.Start.Source, measure.StartCreation)
		}
	})
}

// The address of a pod that is gone may be another pod's a moment later: what answers there must
// not count for the old one, even before its end is known.
func TestAddressReuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.config.MaxTargets = 2
		b.start(PodCreation())
		b.createPod(pod("web-0", "1", "10.0.0.1"))
		time.Sleep(time.Second)
		b.createPod(pod("web-1", "2", "10.0.0.1"))
		time.Sleep(100 * time.Millisecond)
		b.network.open("10.0.0.1")
		time.Sleep(time.Second)
		b.expectStatus("1", measure.Deleted)
		b.expectLatency(b.expectStatus("2", measure.Measured), 100*time.Millisecond)
	})
}

// A target that has its result is done: an event of its pod does not make it a target again.
func TestResultIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reachable := pod("a", "a", "10.0.0.1")
		b := newBench(t, reachable, pod("b", "b", "10.0.0.2"))
		b.network.open("10.0.0.1")
		b.start(PolicyCreation())
		time.Sleep(5 * time.Second)
		b.createPolicy()
		time.Sleep(time.Second)
		b.expectStatus("a", measure.Invalid)
		b.assign(reachable, "10.0.0.1")
		time.Sleep(5 * time.Second)
		b.expectStatus("a", measure.Invalid)
		if account := b.env.results.Account(); account.Expected != 2 {
			t.Errorf("account: %s; want 2 expected", account)
		}
	})
}

// A pod of a StatefulSet comes back under its name: it is another target.
func TestRecreatedPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.config.MaxTargets = 2
		b.start(PodCreation())
		b.createPod(pod("web-0", "1", "10.0.0.1"))
		time.Sleep(time.Second)
		b.deletePod("web-0")
		b.createPod(pod("web-0", "2", "10.0.0.2"))
		b.network.open("10.0.0.2")
		time.Sleep(time.Second)
		b.expectStatus("1", measure.Deleted)
		b.expectStatus("2", measure.Measured)
	})
}

// Every phase of a run ends within a second of a signal, and accounts for what it began.
func TestStopFromAnyState(t *testing.T) {
	states := map[string]func(b *bench){
		"before anything happened": func(*bench) {},
		"with a pod that has no address": func(b *bench) {
			b.createPod(pod("a", "a", ""))
		},
		"while a target is denied": func(b *bench) {
			b.createPod(pod("a", "a", "10.0.0.1"))
			time.Sleep(700 * time.Millisecond)
		},
		"just after a target was reached": func(b *bench) {
			b.createPod(pod("a", "a", "10.0.0.1"))
			time.Sleep(700 * time.Millisecond)
			b.network.open("10.0.0.1")
			time.Sleep(12 * time.Millisecond)
		},
		"when idle": func(b *bench) {
			b.network.open("10.0.0.1")
			b.createPod(pod("a", "a", "10.0.0.1"))
			time.Sleep(time.Minute)
		},
	}
	for name, bring := range states {
		for _, scenario := range []Scenario{PodCreation(), PolicyCreation()} {
			t.Run(scenario.Name+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t)
					b.config.MaxTargets = 1
					b.start(scenario)
					bring(b)
					if err := b.stop(); err != nil {
						t.Errorf("the client returned %v; want nil", err)
					}
					if err := b.env.results.Account().Check(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// A policy that is deleted and created again gives the targets without a result their whole time
// anew.
func TestPolicyCreatedAgainRenewsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pod("a", "a", "10.0.0.1"))
		b.config.TargetTimeout = 20 * time.Second
		b.start(PolicyCreation())
		time.Sleep(time.Second)
		b.createPolicy()
		time.Sleep(15 * time.Second)
		policies := b.client.NetworkingV1().NetworkPolicies("clients")
		if err := policies.Delete(t.Context(), "allow", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		b.createPolicy()
		time.Sleep(10 * time.Second)
		b.network.open("10.0.0.1")
		time.Sleep(time.Second)
		b.expectLatency(b.expectStatus("a", measure.Measured), 10*time.Second)
	})
}

// Warnings are grouped by their text: two pods whose clocks disagree by different times have one
// warning.
func TestClockWarning(t *testing.T) {
	created := time.Unix(1_000_000, 0)
	first := clockWarning("pod", created, created.Add(5*time.Second))
	second := clockWarning("pod", created, created.Add(-9*time.Second))
	if len(first) != 1 || !slices.Equal(first, second) {
		t.Errorf("the warnings are %q and %q; want one, the same", first, second)
	}
	if none := clockWarning("pod", created, created.Add(1500*time.Millisecond)); len(none) != 0 {
		t.Errorf("whole seconds of the creation give the warning %q", none)
	}
}

// TestLogFactsInOrder holds the logs of both clients to what scripts look for in the original's: in
// its order, and each as often.
func TestLogFactsInOrder(t *testing.T) {
	idle := regexp.MustCompile(`Going into idle state`)
	tests := []struct {
		name     string
		scenario Scenario
		existing []*corev1.Pod
		steps    func(b *bench)
		facts    []string // regular expressions
	}{
		{
			name: "pod creation", scenario: PodCreation(),
			steps: func(b *bench) {
				time.Sleep(time.Second)
				if !idle.MatchString(b.log()) {
					b.t.Errorf("it does not say that it is idle before there is a pod:\n%s",
						b.log())
				}
				b.createPod(pod("web", "web", "10.0.0.1"))
				time.Sleep(time.Second)
				b.network.open("10.0.0.1")
				time.Sleep(time.Second)
			},
			facts: []string{
				`Starting to measure pod creation reachability latency`,
				`Creating PodWatcher for namespace "targets" and labelSelector "app=web"`,
				`Going into idle state`,
				`Test client got pod "web" .*with assigned IP "10.0.0.1", .* after pod creation`,
				`Sending requests ".*10.0.0.1:80"`,
				`Pod "web" in namespace "targets" .*reached .* after pod IP was assigned`,
			},
		},
		{
			name: "policy creation", scenario: PolicyCreation(),
			existing: []*corev1.Pod{pod("web", "web", "10.0.0.1")},
			steps: func(b *bench) {
				time.Sleep(2 * time.Second)
				b.createPolicy()
				time.Sleep(time.Second)
				if idle.MatchString(b.log()) {
					b.t.Errorf("it says that it is idle while it measures:\n%s", b.log())
				}
				b.network.open("10.0.0.1")
				time.Sleep(time.Second)
			},
			facts: []string{
				`Starting to measure network policy enforcement latency on network policy creation`,
				`1 pods listed`,
				`Sending requests ".*10.0.0.1:80"`,
				`Pod "web" in namespace "targets" with IP "10.0.0.1" ` +
					`reached .* after policy creation`,
				`Going into idle state`,
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.config.MaxTargets = 1
				b.captureLog()
				for _, existing := range test.existing {
					b.createPod(existing)
				}
				b.start(test.scenario)
				test.steps(b)
				if err := b.stop(); err != nil {
					t.Error(err)
				}

				log, at := b.log(), 0
				for _, fact := range test.facts {
					found := regexp.MustCompile(fact).FindAllStringIndex(log, -1)
					if len(found) != 1 || found[0][0] < at {
						t.Fatalf("%q is there %d times, or too early, in:\n%s", fact, len(found),
							log)
					}
					at = found[0][1]
				}
			})
		})
	}
}
