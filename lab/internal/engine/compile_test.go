// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

func TestCompile(t *testing.T) {
	type want struct {
		subject         string
		ingress, egress []truth.Rule
		sets            []string // of both directions
		isolates        [2]bool
	}
	for _, row := range []struct {
		name   string
		policy *networkingv1.NetworkPolicy
		want   want
	}{
		{"deny", newPolicy("x", "p", everyPod), want{subject: "pods * in x",
			isolates: [2]bool{ingress: true}}},
		{"peers times ports", newPolicy("x", "p", with("b", "2", "a", "1"), isolate(in),
			from(peers{podsWith(everyPod), block("10.0.0.1/8", "10.1.0.1/16", "10.2.0.0/16")},
				ports{tcp(80), upTo(udp(90), 99), tcp("web")})),
			want{
				subject:  "pods a=1,b=2 in x",
				isolates: [2]bool{ingress: true},
				ingress: []truth.Rule{
					{Peers: "pods * in x", Protocol: "TCP", First: 80, Last: 80},
					{Peers: "block 10.0.0.0/8 except 10.1.0.0/16,10.2.0.0/16", Protocol: "TCP",
						First: 80, Last: 80},
					{Peers: "pods * in x", Protocol: "UDP", First: 90, Last: 99},
					{Peers: "block 10.0.0.0/8 except 10.1.0.0/16,10.2.0.0/16", Protocol: "UDP",
						First: 90, Last: 99},
					{Peers: "pods * in x", Protocol: "TCP", Named: "port TCP/web"},
					{Peers: "block 10.0.0.0/8 except 10.1.0.0/16,10.2.0.0/16", Protocol: "TCP",
						Named: "port TCP/web"},
				},
				sets: []string{"block 10.0.0.0/8 except 10.1.0.0/16,10.2.0.0/16", "pods * in x",
					"port TCP/web"},
			}},
		{"namespaces", newPolicy("x", "p", everyPod, isolate(out),
			to(peers{podsIn(with("team", "blue"), expression("k", metav1.LabelSelectorOpIn, "w",
				"v"))}, nil), to(nil, nil)),
			want{
				subject:  "pods * in x",
				isolates: [2]bool{egress: true},
				egress:   []truth.Rule{{Peers: "pods k in (v,w) in namespaces team=blue"}, {}},
				sets:     []string{"pods k in (v,w) in namespaces team=blue"},
			}},
		{"what is no peer allows nothing", newPolicy("x", "p", everyPod, isolate(in),
			from(peers{{}, block("10.0.0.0/33")}, nil)),
			want{subject: "pods * in x", isolates: [2]bool{ingress: true}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := compile(row.policy)
			if err != nil {
				t.Fatal(err)
			}
			got := want{subject: c.subject.id}
			for d, chain := range c.chains {
				if chain == nil {
					continue
				}
				got.isolates[d] = true
				got.sets = append(got.sets, slices.Sorted(maps.Keys(chain.sets))...)
				if direction(d) == ingress {
					got.ingress = chain.rules
				} else {
					got.egress = chain.rules
				}
			}
			if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(want{}),
				cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("compiled differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompileMistakes(t *testing.T) {
	nonsense := expression("k", "Resembles", "v")
	if _, err := compile(newPolicy("x", "p", nonsense)); err == nil {
		t.Error("a selector with an unknown operator is compiled")
	}
	c := newCluster("n")
	c.putPolicy(newPolicy("x", "p", everyPod))
	c.putPolicy(newPolicy("x", "p", nonsense))
	if len(c.policies) != 0 {
		t.Error("a policy that became unreadable stays")
	}
}
