// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// history is a random sequence of API objects coming, changing and going, told to a cluster and
// kept for the model.
type history struct {
	*rand.Rand
	cluster    *cluster
	namespaces map[string]*corev1.Namespace
	pods       map[string]*corev1.Pod
	policies   map[string]*networkingv1.NetworkPolicy
	born       int64
}

func newHistory(seed uint64) *history {
	return &history{
		Rand: rand.New(rand.NewPCG(seed, seed)), cluster: newCluster("node-0"),
		namespaces: map[string]*corev1.Namespace{}, pods: map[string]*corev1.Pod{},
		policies: map[string]*networkingv1.NetworkPolicy{},
	}
}

func (h *history) pick(values ...string) string { return values[h.IntN(len(values))] }

// event makes one thing happen. It says what, and whether every step of its enforcement must show
// each connection either as it was before or as it is after.
func (h *history) event() (what string, monotonic bool) {
	switch n := h.IntN(10); {
	case n == 0:
		return h.changeNamespace(), true
	case n < 4:
		return h.putPod()
	case n == 4 && len(h.pods) > 0:
		return h.removePod(), true
	case n == 5 && len(h.policies) > 0:
		key := h.pick(slices.Sorted(maps.Keys(h.policies))...)
		p := h.policies[key]
		delete(h.policies, key)
		h.cluster.removePolicy(types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
		return "delete policy " + key, true
	}
	p := h.randomPolicy()
	key := p.Namespace + "/" + p.Name
	_, update := h.policies[key]
	h.policies[key] = p
	h.cluster.putPolicy(p)
	return fmt.Sprintf("put policy %s %+v", key, p.Spec), !update
}

func (h *history) changeNamespace() string {
	name := h.pick("x", "y")
	if h.namespaces[name] != nil && h.IntN(4) == 0 {
		delete(h.namespaces, name)
		h.cluster.removeNamespace(name)
		return "delete namespace " + name
	}
	h.namespaces[name] = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name,
		Labels: h.randomLabels()}}
	h.cluster.putNamespace(name, h.namespaces[name].Labels)
	return fmt.Sprintf("put namespace %s %v", name, h.namespaces[name].Labels)
}

// putPod is two events at once if it replaces a pod by one of the same name.
func (h *history) putPod() (what string, monotonic bool) {
	namespace, name := h.pick("x", "y"), h.pick("a", "b", "c")
	before := h.pods[namespace+"/"+name]
	p := before.DeepCopy()
	if p == nil || h.IntN(3) == 0 {
		h.born++
		p = newPod(namespace, name, nil, int32(80+h.IntN(2)), podIPs(1, byte(1+h.IntN(5))))
		p.UID = types.UID(fmt.Sprint("uid-", h.born))
		p.CreationTimestamp = metav1.Unix(h.born, 0)
	}
	p.Labels = h.randomLabels()
	p.Spec.HostNetwork = h.IntN(10) == 0
	p.Spec.NodeName = h.pick("node-0", "node-0", "node-0", "node-1")
	p.Status.Phase = corev1.PodPhase(h.pick("Running", "Running", "Running", "Failed"))
	h.pods[namespace+"/"+name] = p
	h.cluster.putPod(factsOfPod(p))
	return fmt.Sprintf("put pod %s/%s %v %v", namespace, name, p.Labels, p.Status), before == nil ||
		before.UID == p.UID
}

func (h *history) removePod() string {
	key := h.pick(slices.Sorted(maps.Keys(h.pods))...)
	h.cluster.removePod(factsOfPod(h.pods[key]))
	delete(h.pods, key)
	return "delete pod " + key
}

func (h *history) randomLabels() map[string]string {
	labels := map[string]string{}
	for _, key := range []string{"k", "l"} {
		if h.IntN(2) == 0 {
			labels[key] = h.pick("1", "2")
		}
	}
	return labels
}

func (h *history) randomSelector() metav1.LabelSelector {
	operator := metav1.LabelSelectorOperator(h.pick("In", "NotIn", "Exists", "DoesNotExist"))
	switch h.IntN(3) {
	case 0:
		return everyPod
	case 1:
		return with("k", h.pick("1", "2"))
	}
	if operator == metav1.LabelSelectorOpIn || operator == metav1.LabelSelectorOpNotIn {
		return expression("l", operator, h.pick("1", "2"))
	}
	return expression("l", operator)
}

func (h *history) randomPolicy() *networkingv1.NetworkPolicy {
	p := newPolicy(h.pick("x", "y"), h.pick("p", "q", "r"), h.randomSelector())
	for range h.IntN(3) {
		from(h.randomPeers(), h.randomPorts())(&p.Spec)
	}
	for range h.IntN(3) {
		to(h.randomPeers(), h.randomPorts())(&p.Spec)
	}
	isolate([][]networkingv1.PolicyType{nil, {in}, {out}, {in, out}}[h.IntN(4)]...)(&p.Spec)
	return p
}

func (h *history) randomPeers() peers {
	var all peers
	for range h.IntN(3) {
		all = append(all, []networkingv1.NetworkPolicyPeer{
			podsWith(h.randomSelector()),
			namespacesWith(h.randomSelector()),
			podsIn(h.randomSelector(), h.randomSelector()),
			block("10.244.1.0/24", h.pick("10.244.1.2/32", "10.244.1.4/30", "10.245.0.0/16")),
			block("fd00:10:244::/64", h.pick("fd00:10:244::1:2/127", "fd00:10:244::1:4/126")),
		}[h.IntN(5)])
	}
	return all
}

func (h *history) randomPorts() ports {
	var all ports
	for range h.IntN(3) {
		all = append(all, ports{
			tcp(80), tcp("web"), udp("dns"), udp(nil), upTo(tcp(80), 90), sctp(81),
		}[h.IntN(6)])
	}
	return all
}

// connection is one that the property tests ask about.
type connection struct {
	from, to netip.Addr
	protocol corev1.Protocol
	port     int32
}

// connections are all between six addresses that pods take turns with, and one outside.
func connections() []connection {
	var addresses []netip.Addr
	for i := range byte(5) {
		addresses = append(addresses, podIPs(1, 1+i)...)
	}
	addresses = append(addresses, netip.MustParseAddr("198.51.100.10"),
		netip.MustParseAddr("2001:db8:100::10"))
	var all []connection
	for _, from := range addresses {
		for _, to := range addresses {
			if from == to || from.Is4() != to.Is4() {
				continue
			}
			for _, protocol := range protocols {
				for _, port := range probedPorts {
					all = append(all, connection{from, to, protocol, port})
				}
			}
		}
	}
	return all
}

// halves are what a state says about a connection, for each of its ends.
type halves struct{ leaves, enters bool }

func verdicts(s *truth.State, of []connection) []halves {
	all := make([]halves, len(of))
	for i, c := range of {
		all[i] = halves{
			s.Leaves(c.from, c.to, string(c.protocol), uint16(c.port)),
			s.Enters(c.from, c.to, string(c.protocol), uint16(c.port)),
		}
	}
	return all
}

// between says whether each half is that of before or that of after.
func (h halves) between(before, after halves) bool {
	return (h.leaves == before.leaves || h.leaves == after.leaves) &&
		(h.enters == before.enters || h.enters == after.enters)
}

// modelVerdict also knows what is the engine's own: addresses without a pod are blocked, and pods
// of other nodes are guarded there.
func (h *history) modelVerdict(m model, c connection) bool {
	from, to := m.party(c.from.AsSlice()), m.party(c.to.AsSlice())
	for a, p := range map[netip.Addr]party{c.from: from, c.to: to} {
		if p.pod == nil && slices.ContainsFunc(testPodCIDRs, func(cidr netip.Prefix) bool {
			return cidr.Contains(a)
		}) {
			return false
		}
	}
	leaves := from.pod == nil || from.pod.Spec.NodeName != "node-0" ||
		m.allowsEgress(from, to, c.protocol, c.port)
	enters := to.pod == nil || to.pod.Spec.NodeName != "node-0" ||
		m.allowsIngress(from, to, c.protocol, c.port)
	return leaves && enters
}

func (h *history) model() model {
	return model{slices.Collect(maps.Values(h.namespaces)), slices.Collect(maps.Values(h.pods)),
		slices.Collect(maps.Values(h.policies))}
}

// fromScratch is the state of a cluster that is told only of what is there now.
func (h *history) fromScratch() *truth.State {
	c := newCluster("node-0")
	for name, n := range h.namespaces {
		c.putNamespace(name, n.Labels)
	}
	for _, p := range h.pods {
		c.putPod(factsOfPod(p))
	}
	for _, p := range h.policies {
		c.putPolicy(p)
	}
	return newState(c.plan()...)
}

// newState is an empty table with operations applied.
func newState(ops ...truth.Op) *truth.State {
	s := &truth.State{}
	s.Apply(truth.Op{Kind: truth.KindTable, Table: &truth.Table{PodCIDRs: testPodCIDRs}})
	for _, op := range ops {
		s.Apply(op)
	}
	return s
}

// states compares states. The members that a set was made with do not matter, only those it has.
var states = []cmp.Option{
	cmp.AllowUnexported(truth.State{}), cmpopts.EquateEmpty(),
	cmpopts.IgnoreFields(truth.Set{}, "Members"),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// TestHistories: whatever happened before, the operations of an event lead to the state that the
// objects by themselves would give; its verdicts are the model's; and after each single operation
// every half of every verdict is that of before or that of after.
func TestHistories(t *testing.T) {
	of := connections()
	for seed := range uint64(60) {
		h := newHistory(seed)
		state := newState()
		for range 60 {
			before := verdicts(state, of)
			what, monotonic := h.event()
			var between [][]halves
			ops := h.cluster.plan()
			for _, op := range ops {
				state.Apply(op)
				if monotonic {
					between = append(between, verdicts(state, of))
				}
			}
			if diff := cmp.Diff(h.fromScratch(), state, states...); diff != "" {
				t.Fatalf("seed %d, %s: the state is not that of the objects (-objects +state):\n%s",
					seed, what, diff)
			}
			after := verdicts(state, of)
			h.expectModel(t, fmt.Sprintf("seed %d, %s", seed, what), of, after)
			for step, now := range between {
				for i, c := range of {
					if !now[i].between(before[i], after[i]) {
						t.Fatalf("seed %d, %s: after operation %d %+v: %v is %+v between %+v and "+
							"%+v", seed, what, step, ops[step], c, now[i], before[i], after[i])
					}
				}
			}
		}
	}
}

func (h *history) expectModel(t *testing.T, what string, of []connection, got []halves) {
	t.Helper()
	m := h.model()
	for i, c := range of {
		if want := h.modelVerdict(m, c); (got[i].leaves && got[i].enters) != want {
			t.Fatalf("%s: %v is %+v; NetworkPolicy says %v", what, c, got[i], want)
		}
	}
}

// TestUnselectingPoliciesCostNothing: a thousand policies that select no pod leave the kernel as it
// is.
func TestUnselectingPoliciesCostNothing(t *testing.T) {
	c := crowd(10)
	c.plan()
	for i := range 1000 {
		c.putPolicy(background(i))
	}
	if ops := c.plan(); len(ops) != 0 {
		t.Errorf("they make %d operations, the first is %+v", len(ops), ops[0])
	}
}
