// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// setFaults changes the faults over the control socket and waits until that is enforced.
func (w *environment) setFaults(t *testing.T, c control, faults string) {
	t.Helper()
	before, _ := w.records.snapshot()
	c.put(t, fmt.Sprintf(`{"faults":%q}`, faults))
	w.records.await(t, len(before), "the faults "+faults, ofSettings)
}

func ofSettings(r truth.Record) bool { return r.Causes[0].Kind == "Settings" }

// resolve has the node talk to every host, which no policy forbids: neighbours are known and links
// are up before packets begin to count.
func (w *environment) resolve(t *testing.T) {
	t.Helper()
	hosts := slices.Clone(w.net.hosts)
	w.net.addRouter(t, parse("172.18.0.2", "fd00:172:18::2")...)
	node := w.net.hosts[len(hosts)]
	var attempts []*attempt
	for _, h := range hosts {
		for _, f := range families {
			attempts = append(attempts, &attempt{from: node, to: h, family: f,
				protocol: corev1.ProtocolTCP, port: 80})
		}
	}
	try(t, attempts, waitTimeout)
	for _, a := range attempts {
		if a.outcome != answered {
			t.Fatalf("%v is %s", a, a.outcome)
		}
	}
}

// awaitFault waits until a fault does something, after the given length of the log.
func (w *environment) awaitFault(t *testing.T, from int, what string) {
	t.Helper()
	w.records.await(t, from, what, func(r truth.Record) bool {
		return r.Causes[0].Kind == "Fault" && r.Causes[0].Event == what
	})
}

// way is from one host to another.
type way struct {
	from, to string
	family   family
}

// open makes all connections between pods, which must have the fate that the truth log says, and
// tells which ways are open to TCP.
func (w *environment) open(t *testing.T) map[way]bool {
	t.Helper()
	state := w.replay()
	open := map[way]bool{}
	for _, a := range w.tryAll(t, func(a *attempt) bool { return a.verdict(state) }) {
		if a.from.name == "node" {
			continue // passes through no chain of the table
		}
		passes := a.outcome == answered
		if passes != a.verdict(state) {
			t.Errorf("%v is %s; the truth log says allowed=%v", a, a.outcome, a.verdict(state))
		}
		if a.protocol == corev1.ProtocolTCP {
			open[way{a.from.name, a.to.name, a.family}] = passes
		}
	}
	return open
}

func (w *environment) expectOpen(t *testing.T, when string, want map[way]bool) {
	t.Helper()
	open := w.open(t)
	for way, want := range want {
		if open[way] != want {
			t.Errorf("%s: %+v is open=%v", when, way, open[way])
		}
	}
}

// expectFlips compares the verdicts of a pair, one after the other, and how long each but the last
// held at least.
func expectFlips(t *testing.T, flips []truth.Flip, allowed []bool, atLeast ...time.Duration) {
	t.Helper()
	var got []bool
	for _, flip := range flips {
		got = append(got, flip.Allowed)
	}
	if !slices.Equal(got, allowed) {
		t.Fatalf("the verdicts are %v; expected %v: %+v", got, allowed, flips)
	}
	for i, d := range atLeast {
		if held := flips[i+1].After.Sub(flips[i].Before); held < d {
			t.Errorf("verdict %d held for %v; expected %v", i, held, d)
		}
	}
}

// TestNever: a pod that the fault selects keeps the policies that it has, others do not.
func TestNever(t *testing.T) {
	w, _, _ := newPair(t)
	stuck := w.net.addHost(t, "x/stuck", podIPs(1, 3)...)
	w.createPod(newPod("x", "stuck", labelSet("app", "server", "fault", "never"), 80,
		stuck.addresses))
	control := w.serve(t)
	fromClient := peers{podsWith(with("app", "client"))}
	both := func(server, stuck bool) map[way]bool {
		return map[way]bool{
			{"x/client", "x/server", ipv4}: server, {"x/client", "x/stuck", ipv4}: stuck,
			{"x/client", "x/server", ipv6}: server, {"x/client", "x/stuck", ipv6}: stuck,
		}
	}
	w.setFaults(t, control, "never=fault=never")
	w.createPolicy(newPolicy("x", "deny", with("app", "server"), isolate(in)))
	w.expectOpen(t, "a deny", both(false, true))
	w.setFaults(t, control, "none")
	w.expectOpen(t, "no fault", both(false, false))
	w.setFaults(t, control, "never=fault")
	w.updatePolicy(newPolicy("x", "deny", with("app", "server"), isolate(in),
		from(fromClient, nil)))
	w.expectOpen(t, "an allow in the same policy", both(true, false))
	w.createPolicy(newPolicy("x", "allow", everyPod, isolate(in), from(nil, nil)))
	w.expectOpen(t, "an allow in another policy", both(true, false))
	w.deletePolicy("deny")
	w.labelPod("x/stuck", labelSet("fault", "never"))
	w.deletePolicy("allow")
	w.expectOpen(t, "no policy", both(true, false))
	w.labelPod("x/stuck", nil)
	w.check(t)
}

// TestLeak: a new pod is unfiltered in both directions for some time, from its first address on.
func TestLeak(t *testing.T) {
	w, client, server := newPair(t)
	w.createPolicy(newPolicy("x", "deny", with("app", "late"), isolate(in, out)))
	w.setFaults(t, w.serve(t), "leak=100ms")
	hosts := map[family]*host{}
	for _, f := range families {
		hosts[f] = w.net.addHost(t, "x/late-"+f.String(), podIPs(1, byte(10+f))...)
	}
	w.resolve(t)
	for _, f := range families {
		late := hosts[f]
		appear := func() {
			before, _ := w.records.snapshot()
			w.createPod(newPod("x", "late-"+f.String(), labelSet("app", "late"), 80,
				late.addresses))
			w.awaitFault(t, len(before), "leak ended")
		}
		to := w.during(t, client, late, f, func() {
			from := w.during(t, late, server, f, appear)
			expectFlips(t, from, []bool{true, false}, 100*time.Millisecond)
		})
		expectFlips(t, to, []bool{true, false}, 100*time.Millisecond)
	}
	w.check(t)
}

// TestFlap: the verdict of a change is taken back once. What follows it in time makes that void.
func TestFlap(t *testing.T) {
	w, client, server := newPair(t)
	w.resolve(t)
	const delay, away = 40 * time.Millisecond, 60 * time.Millisecond
	control := w.serve(t)
	w.setFaults(t, control, "flap=60ms@40ms")
	flapping := func(change func()) {
		before, _ := w.records.snapshot()
		change()
		w.awaitFault(t, len(before), "flap ended")
	}
	flips := w.during(t, client, server, ipv4, func() {
		flapping(func() {
			w.createPolicy(newPolicy("x", "deny", with("app", "server"), isolate(in)))
		})
		flapping(func() { w.labelPod("x/server", labelSet("app", "other")) })
	})
	// Allowed from the start; denied by the policy; allowed by the labels.
	expectFlips(t, flips, []bool{true, false, true, false, true, false, true}, 0, delay, away, 0,
		delay, away)
	w.setFaults(t, control, "flap=20ms@1h")
	w.labelPod("x/server", labelSet("app", "server"))
	w.deletePolicy("deny")
	w.check(t)
	w.setFaults(t, control, "flap=1h@1ms")
	before, _ := w.records.snapshot()
	w.createPolicy(newPolicy("x", "deny", with("app", "server"), isolate(in)))
	w.awaitFault(t, len(before), "flap began")
	w.expectOpen(t, "it flaps", map[way]bool{{"x/client", "x/server", ipv4}: true})
	w.setFaults(t, control, "none")
	w.check(t)
}

// TestGap: the update of a policy, and nothing else, opens the pods that it selects for some time.
func TestGap(t *testing.T) {
	w, client, server := newPair(t)
	w.resolve(t)
	w.setFaults(t, w.serve(t), "gap=100ms")
	fromNobody := peers{podsWith(with("app", "nobody"))}
	flips := w.during(t, client, server, ipv6, func() {
		w.createPolicy(newPolicy("x", "deny", with("app", "server"), isolate(in, out)))
		before, _ := w.records.snapshot()
		w.updatePolicy(newPolicy("x", "deny", with("app", "server"), isolate(in),
			from(fromNobody, nil)))
		w.awaitFault(t, len(before), "gap ended")
	})
	expectFlips(t, flips, []bool{true, false, true, false}, 0, 0, 100*time.Millisecond)
	w.check(t)
}

// TestNoExcept: a block holds its exceptions too, whether the policy or the fault was there first.
func TestNoExcept(t *testing.T) {
	w, _, _ := newPair(t)
	control := w.serve(t)
	toServer := func(v4, v6 bool) map[way]bool {
		return map[way]bool{{"x/client", "x/server", ipv4}: v4, {"x/client", "x/server", ipv6}: v6}
	}
	v4, v6 := block("10.244.0.0/16", "10.244.1.1/32"), block("::/0", "fd00:10:244::/64")
	w.createPolicy(newPolicy("x", "v4", with("app", "server"), isolate(in), from(peers{v4}, nil)))
	w.expectOpen(t, "no fault", toServer(false, false))
	w.setFaults(t, control, "no-except")
	w.expectOpen(t, "the fault", toServer(true, false))
	w.createPolicy(newPolicy("x", "v6", with("app", "server"), isolate(in), from(peers{v6}, nil)))
	w.expectOpen(t, "a new policy", toServer(true, true))
	w.setFaults(t, control, "none")
	w.check(t)
}

// TestIPv4Only: nothing of IPv6 is filtered, whether the policy or the fault was there first.
func TestIPv4Only(t *testing.T) {
	w, _, _ := newPair(t)
	control := w.serve(t)
	v6 := map[way]bool{
		{"x/client", "x/server", ipv4}: false, {"x/client", "x/server", ipv6}: true,
		{"x/server", "x/client", ipv4}: true, {"x/server", "x/client", ipv6}: true,
	}
	w.createPolicy(newPolicy("x", "deny", with("app", "server"), isolate(in)))
	w.setFaults(t, control, "ipv4-only")
	w.expectOpen(t, "the fault", v6)
	w.createPolicy(newPolicy("x", "deny-egress", with("app", "client"), isolate(out)))
	w.expectOpen(t, "a new policy", v6)
	w.setFaults(t, control, "none")
	w.check(t)
}

// TestFaultsDuringAChange: faults that are set while a change is half way to the kernel wait for
// its end.
func TestFaultsDuringAChange(t *testing.T) {
	w, _, _ := newPair(t)
	control := w.serve(t)
	control.put(t, `{"batch":1,"gap":"100ms"}`)
	begun := w.createPolicy(newPolicy("x", "deny", everyPod, isolate(in)))
	control.put(t, `{"batch":0,"faults":"ipv4-only"}`)
	faults := w.records.await(t, int(begun.Seq), "the faults", ofSettings)
	if faults.Seq == begun.Seq+1 {
		t.Error("the faults came between two portions of the policy")
	}
	w.expectOpen(t, "the fault", map[way]bool{
		{"x/client", "x/server", ipv4}: false, {"x/server", "x/client", ipv4}: false,
		{"x/client", "x/server", ipv6}: true, {"x/server", "x/client", ipv6}: true,
	})
}

// TestFaultsAtStart: those of the configuration are in force from the first plan on, and pods that
// were there before the engine are not new.
func TestFaultsAtStart(t *testing.T) {
	faults := Faults{Never: "k", Leak: time.Hour, NoExcept: true, IPv4Only: true}
	e := newEngine(Config{Node: "node-0", Settings: Settings{Faults: faults}}, fake.NewClientset(),
		nil, nil)
	e.cluster.putPod(factsOfPod(newPod("x", "server", nil, 80, podIPs(1, 1))))
	e.cluster.putPod(factsOfPod(newPod("x", "client", nil, 80, podIPs(1, 2))))
	all := peers{block("10.0.0.0/8", "10.244.1.2/32")}
	e.cluster.putPolicy(newPolicy("x", "p", everyPod, isolate(in), from(all, ports{tcp(80)})))
	state := newState(e.cluster.plan()...)
	for i, row := range []struct {
		ip   int
		port uint16
		want bool
	}{{0, 80, true}, {0, 81, false}, {1, 81, true}} {
		if got := state.Verdict(podIPs(1, 2)[row.ip], podIPs(1, 1)[row.ip], "TCP",
			row.port); got != row.want {
			t.Errorf("connection %d is allowed=%v", i, got)
		}
	}
	if later := e.cluster.injectFaults(event{}); len(later) > 0 {
		t.Errorf("%+v is left for later", later)
	}
}

// TestHistoriesWithFaults: whatever happens while faults come and go, the kernel accepts the
// operations and holds what the log says, and without faults nothing of them is left.
func TestHistoriesWithFaults(t *testing.T) {
	for seed := range uint64(6) {
		h := newHistory(seed)
		k := newTestKernel(t)
		commitAll(t, k, []truth.Op{{Kind: truth.KindTable,
			Table: &truth.Table{PodCIDRs: testPodCIDRs}}})
		var d deferredQueue
		for range 60 {
			what := h.faultyEvent(&d)
			if ops := h.cluster.plan(); len(ops) > 0 {
				commitAll(t, k, ops)
			}
			diff := cmp.Diff(wanted(&k.state), inKernel(t, k), cmp.AllowUnexported(contents{}))
			if diff != "" {
				t.Fatalf("seed %d, %s: the kernel differs (-state +kernel):\n%s", seed, what, diff)
			}
		}
		h.changeFaults(&d, Faults{})
		commitAll(t, k, h.cluster.plan())
		if diff := cmp.Diff(h.fromScratch(), &k.state, states...); diff != "" {
			t.Fatalf("seed %d: the state is not that of the objects (-objects +state):\n%s", seed,
				diff)
		}
	}
}

// faultyEvent is an event, a change of the faults, or a deferred event of them.
func (h *history) faultyEvent(d *deferredQueue) string {
	switch h.IntN(6) {
	case 0:
		faults := Faults{
			Never: h.pick("", "k=1", "l"), Leak: time.Duration(h.IntN(2)),
			Gap:      time.Duration(h.IntN(2)),
			NoExcept: h.IntN(2) == 0, IPv4Only: h.IntN(4) == 0,
		}
		h.changeFaults(d, faults)
		return "faults " + faults.String()
	case 1:
		due, _ := d.due(begin.Add(time.Hour))
		for _, ev := range due {
			ev.apply(h.cluster)
		}
		return fmt.Sprintf("%d deferred events", len(due))
	}
	what, _ := h.event()
	ev := event{}
	ev.cause.Kind, ev.cause.Event = "NetworkPolicy", "updated"
	ev.cause.Namespace, ev.cause.Name = h.pick("x", "y"), h.pick("p", "q", "r")
	d.add(begin, h.cluster.injectFaults(ev))
	return what
}

// changeFaults changes the faults as an engine does.
func (h *history) changeFaults(d *deferredQueue, f Faults) {
	for _, ev := range d.drain() {
		ev.apply(h.cluster)
	}
	h.cluster.setFaults(f)
}
