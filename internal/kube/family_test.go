// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

func TestFamilies(t *testing.T) {
	node := func(ranges ...string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"},
			Spec: corev1.NodeSpec{PodCIDRs: ranges}}
	}
	pod := func(name string, host bool, addresses ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name},
			Spec: corev1.PodSpec{HostNetwork: host}}
		for _, address := range addresses {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: address})
		}
		return p
	}
	tests := []struct {
		name    string
		objects []runtime.Object
		want    Families
	}{
		{"IPv4", []runtime.Object{node("10.0.0.0/24")}, Families{IPv4: true}},
		{"IPv6", []runtime.Object{node("fd00::/64")}, Families{IPv6: true, PrefersIPv6: true}},
		{"both", []runtime.Object{node("10.0.0.0/24", "fd00::/64")},
			Families{IPv4: true, IPv6: true}},
		{"both, IPv6 first", []runtime.Object{node("fd00::/64", "10.0.0.0/24")},
			Families{IPv4: true, IPv6: true, PrefersIPv6: true}},
		{"by pods", []runtime.Object{node(), pod("a", true, "192.0.2.1"),
			pod("b", false, "fd00::2")},
			Families{IPv6: true, PrefersIPv6: true}},
		{"nobody tells", []runtime.Object{node(), pod("a", true, "192.0.2.1")},
			Families{IPv4: true, IPv6: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := &Cluster{Interface: fake.NewClientset(test.objects...)}
			got, err := c.Families(t.Context())
			if err != nil || got != test.want {
				t.Errorf("Families() = %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}
