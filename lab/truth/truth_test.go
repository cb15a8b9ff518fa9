// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	client  = netip.MustParseAddr("10.244.0.2")
	server  = netip.MustParseAddr("10.244.0.3")
	other   = netip.MustParseAddr("10.244.0.4")
	outside = netip.MustParseAddr("198.51.100.7")
)

func podAt(uid, node, ingress, egress string, sets ...Membership) *Address {
	return &Address{Namespace: "default", Pod: uid, UID: uid, Node: node, Ingress: ingress,
		Egress: egress, Sets: sets}
}

func addressOp(a netip.Addr, row *Address) Op {
	return Op{Kind: KindAddress, ID: a.String(), Address: row}
}

func tableOp() Op {
	return Op{Kind: KindTable,
		Table: &Table{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}}}
}

// guarded is a state in which the server's ingress has the given rules, and client and server are
// in the sets "clients" and "web" (with port 8080).
func guarded(rules ...Rule) *State {
	s := &State{}
	for _, op := range []Op{
		tableOp(),
		{Kind: KindSet, ID: "clients", Set: &Set{Pods: true}},
		{Kind: KindSet, ID: "web", Set: &Set{Ports: true}},
		{Kind: KindSet, ID: "block",
			Set: &Set{Block: &Block{CIDR: netip.MustParsePrefix("198.51.100.0/24"),
				Except: []netip.Prefix{netip.MustParsePrefix("198.51.100.128/25")}}}},
		{Kind: KindPolicy, ID: "p", Policy: &Policy{Rules: rules}},
		{Kind: KindGuard, ID: "g", Guard: &Guard{Policies: []string{"p"}}},
		addressOp(client, podAt("client", "n", "", "", Membership{Set: "clients"})),
		addressOp(server, podAt("server", "n", "g", "", Membership{Set: "web", Port: 8080})),
		addressOp(other, podAt("other", "n", "", "")),
	} {
		s.Apply(op)
	}
	return s
}

func TestVerdict(t *testing.T) {
	for _, row := range []struct {
		name     string
		rules    []Rule
		from     netip.Addr
		protocol string
		port     uint16
		want     bool
	}{
		{"no rule allows nothing", nil, client, "TCP", 80, false},
		{"the empty rule allows everything", []Rule{{}}, outside, "SCTP", 1, true},
		{"a member of the peers", []Rule{{Peers: "clients"}}, client, "TCP", 80, true},
		{"not a member of the peers", []Rule{{Peers: "clients"}}, other, "TCP", 80, false},
		{"a set that is not there", []Rule{{Peers: "missing"}}, client, "TCP", 80, false},
		{"inside the block", []Rule{{Peers: "block"}}, outside, "TCP", 80, true},
		{"inside the block's exception", []Rule{{Peers: "block"}},
			netip.MustParseAddr("198.51.100.200"), "TCP", 80, false},
		{"the protocol", []Rule{{Protocol: "UDP"}}, client, "UDP", 80, true},
		{"another protocol", []Rule{{Protocol: "UDP"}}, client, "TCP", 80, false},
		{"first of the range", []Rule{{Protocol: "TCP", First: 80, Last: 90}}, client, "TCP", 80,
			true},
		{"last of the range", []Rule{{Protocol: "TCP", First: 80, Last: 90}}, client, "TCP", 90,
			true},
		{"behind the range", []Rule{{Protocol: "TCP", First: 80, Last: 90}}, client, "TCP", 91,
			false},
		{"the named port", []Rule{{Protocol: "TCP", Named: "web"}}, client, "TCP", 8080, true},
		{"not the named port", []Rule{{Protocol: "TCP", Named: "web"}}, client, "TCP", 80, false},
		{"peers and port", []Rule{{Peers: "clients", Protocol: "TCP", First: 80, Last: 80}}, other,
			"TCP", 80, false},
		{"one of two rules", []Rule{{Protocol: "UDP"}, {Peers: "clients"}}, client, "TCP", 80,
			true},
		{"an address that is not programmed", []Rule{{}}, netip.MustParseAddr("10.244.9.9"), "TCP",
			80, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := guarded(row.rules...).Verdict(row.from, server, row.protocol,
				row.port); got != row.want {
				t.Errorf("allowed is %v", got)
			}
		})
	}
}

func TestVerdictWithoutTable(t *testing.T) {
	if !(&State{}).Verdict(client, server, "TCP", 80) {
		t.Error("a kernel without the table blocks")
	}
}

func TestEgressVerdict(t *testing.T) {
	s := guarded(Rule{Protocol: "TCP", Named: "web"})
	s.Apply(addressOp(client, podAt("client", "n", "", "g")))
	if !s.Verdict(client, server, "TCP", 8080) {
		t.Error("the name of the destination's port does not count for egress")
	}
	if s.Verdict(client, other, "TCP", 8080) {
		t.Error("egress to a pod without the named port is allowed")
	}
}

// Undoing operations in reverse leads back to every state on the way.
func TestApplyUndo(t *testing.T) {
	s := guarded(Rule{Peers: "clients"})
	before := guarded(Rule{Peers: "clients"})
	refusal := Reset
	ops := []Op{
		{Kind: KindRefusal, Refusal: &refusal},
		{Kind: KindSet, ID: "new", Set: &Set{Pods: true,
			Members: []Member{{Address: client}, {Address: other}, {Address: outside}}}},
		{Kind: KindSet, ID: "clients"},
		{Kind: KindPolicy, ID: "p", Policy: &Policy{}},
		{Kind: KindPolicy, ID: "q", Policy: &Policy{}},
		{Kind: KindGuard, ID: "g"},
		addressOp(client, nil),
		addressOp(server, podAt("later", "n", "", "", Membership{Set: "new"})),
	}
	var undo []Op
	for _, op := range ops {
		undo = append(undo, s.Apply(op))
	}
	if cmp.Equal(s, before, states...) {
		t.Fatal("the operations change nothing")
	}
	for i := len(undo) - 1; i >= 0; i-- {
		s.Apply(undo[i])
	}
	if diff := cmp.Diff(before, s, states...); diff != "" {
		t.Errorf("undone, the state differs (-before +after):\n%s", diff)
	}
}

// states compares states, for which an empty list is as good as none.
var states = []cmp.Option{
	cmp.AllowUnexported(State{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Set{}, "Members"),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestOpRemoves(t *testing.T) {
	if (Op{Kind: KindGuard, ID: "g"}).Removes() != true ||
		addressOp(client, podAt("a", "n", "", "")).Removes() {
		t.Error("Removes does not tell operations with a value from those without")
	}
}
