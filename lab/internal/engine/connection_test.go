// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The environment of the table: three namespaces with pods in them, the node, and a machine
// outside.
//
//	x  team=red   env=prod   a (app=web tier=front)  b (app=api tier=back)  c (no labels)
//	y  team=blue  env=prod   a (app=web)             b (app=api tier=back)
//	z  team=blue  env=dev    a (app=web tier=front)
//
// Everything listens on ports 80 and 81 of TCP, UDP and SCTP. TCP port "web" is 80, but 81 at y/b,
// and z/a has none; UDP port "dns" is 81 everywhere.
func newTableEnvironment(t testing.TB) *environment {
	w := newEnvironment(t)
	w.putNamespace("x", namespaceLabels("x", "red", "prod"))
	w.putNamespace("y", namespaceLabels("y", "blue", "prod"))
	w.putNamespace("z", namespaceLabels("z", "blue", "dev"))
	for _, p := range []struct {
		namespace, name string
		labels          map[string]string
		subnet, host    byte
		web             int32
	}{
		{"x", "a", labelSet("app", "web", "tier", "front"), 1, 1, 80},
		{"x", "b", labelSet("app", "api", "tier", "back"), 1, 2, 80},
		{"x", "c", nil, 1, 3, 80},
		{"y", "a", labelSet("app", "web"), 2, 1, 80},
		{"y", "b", labelSet("app", "api", "tier", "back"), 2, 2, 81},
		{"z", "a", labelSet("app", "web", "tier", "front"), 3, 1, 0},
	} {
		h := w.net.addHost(t, p.namespace+"/"+p.name, podIPs(p.subnet, p.host)...)
		w.createPod(newPod(p.namespace, p.name, p.labels, p.web, h.addresses))
	}
	w.net.addHost(t, "outside", netip.MustParseAddr("198.51.100.10"),
		netip.MustParseAddr("2001:db8:100::10"))
	w.net.addRouter(t, netip.MustParseAddr("172.18.0.2"), netip.MustParseAddr("fd00:172:18::2"))
	hostNetwork := newPod("x", "host", labelSet("app", "web", "tier", "front"), 80,
		w.net.hosts[len(w.net.hosts)-1].addresses)
	hostNetwork.Spec.HostNetwork = true
	w.createPod(hostNetwork)
	return w
}

func podIPs(subnet, host byte) []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{10, 244, subnet, host}),
		netip.MustParseAddr(fmt.Sprintf("fd00:10:244::%x:%x", subnet, host)),
	}
}

func namespaceLabels(name, team, env string) map[string]string {
	return labelSet("kubernetes.io/metadata.name", name, "team", team, "env", env)
}

// labelSet makes labels of keys and values that alternate.
func labelSet(pairs ...string) map[string]string {
	labels := map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		labels[pair[0]] = pair[1]
	}
	return labels
}

func newPod(
	namespace, name string, labels map[string]string, web int32, ips []netip.Addr,
) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name,
			UID: types.UID(namespace + "-" + name), Labels: labels},
		Spec: corev1.PodSpec{NodeName: "node-0",
			Containers: []corev1.Container{{Name: "main"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ips[0].String()},
	}
	for _, ip := range ips {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: ip.String()})
	}
	ports := []corev1.ContainerPort{{Name: "dns", Protocol: corev1.ProtocolUDP, ContainerPort: 81}}
	if web != 0 {
		ports = append(ports, corev1.ContainerPort{Name: "web", Protocol: corev1.ProtocolTCP,
			ContainerPort: web})
	}
	pod.Spec.Containers[0].Ports = ports
	return pod
}

// A policy is made of options, so that a row of the table reads like its sentence.
type option func(*networkingv1.NetworkPolicySpec)

func newPolicy(
	namespace, name string, pods metav1.LabelSelector, options ...option,
) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name,
			UID: types.UID(namespace + "-" + name)},
		Spec: networkingv1.NetworkPolicySpec{PodSelector: pods},
	}
	for _, o := range options {
		o(&p.Spec)
	}
	return p
}

func isolate(directions ...networkingv1.PolicyType) option {
	return func(s *networkingv1.NetworkPolicySpec) { s.PolicyTypes = directions }
}

const (
	in  = networkingv1.PolicyTypeIngress
	out = networkingv1.PolicyTypeEgress
)

type (
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
)

func from(peers peers, ports ports) option {
	return func(s *networkingv1.NetworkPolicySpec) {
		s.Ingress = append(s.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers,
			Ports: ports})
	}
}

func to(peers peers, ports ports) option {
	return func(s *networkingv1.NetworkPolicySpec) {
		s.Egress = append(s.Egress, networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
	}
}

var everyPod = metav1.LabelSelector{}

func with(pairs ...string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: labelSet(pairs...)}
}

func expression(
	key string, operator metav1.LabelSelectorOperator, values ...string,
) metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key,
		Operator: operator, Values: values}}}
}

func podsWith(s metav1.LabelSelector) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: &s}
}

func namespacesWith(s metav1.LabelSelector) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: &s}
}

func podsIn(namespaces, pods metav1.LabelSelector) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: &namespaces, PodSelector: &pods}
}

func block(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr,
		Except: except}}
}

func tcp(port any) networkingv1.NetworkPolicyPort  { return portOf(corev1.ProtocolTCP, port) }
func udp(port any) networkingv1.NetworkPolicyPort  { return portOf(corev1.ProtocolUDP, port) }
func sctp(port any) networkingv1.NetworkPolicyPort { return portOf(corev1.ProtocolSCTP, port) }

func portOf(protocol corev1.Protocol, port any) networkingv1.NetworkPolicyPort {
	p := networkingv1.NetworkPolicyPort{Protocol: &protocol}
	switch port := port.(type) {
	case int:
		value := intstr.FromInt32(int32(port))
		p.Port = &value
	case string:
		value := intstr.FromString(port)
		p.Port = &value
	}
	return p
}

func upTo(p networkingv1.NetworkPolicyPort, last int32) networkingv1.NetworkPolicyPort {
	p.EndPort = &last
	return p
}

func withoutProtocol(p networkingv1.NetworkPolicyPort) networkingv1.NetworkPolicyPort {
	p.Protocol = nil
	return p
}

// row is policies and what happens to the environment while they are in force.
type row struct {
	name     string
	sentence string
	policies []*networkingv1.NetworkPolicy
	steps    []step
}

type step struct {
	name string
	do   func(*environment)
}

// TestConnections makes every connection of every kind between everything in the environment, for
// each row of the table and after each of its steps, and compares with the model and with the truth
// log.
func TestConnections(t *testing.T) {
	w := newTableEnvironment(t)
	if t.Run("no policy", func(t *testing.T) { expectBlocked(t, w, false) }); t.Failed() {
		return // the network itself does not work
	}
	for _, r := range connectionTable() {
		t.Run(r.name, func(t *testing.T) { w.run(t, r) })
	}
	t.Run("no policy again", func(t *testing.T) { expectBlocked(t, w, false) })
}

// expectBlocked guards against an environment in which nothing can be seen.
func expectBlocked(t *testing.T, w *environment, some bool) {
	t.Helper()
	if blocked := w.check(t); (blocked > 0) != some {
		t.Errorf("%d connections are blocked", blocked)
	}
}

func (w *environment) run(t *testing.T, r row) {
	namespaces, pods := maps.Clone(w.namespaces), maps.Clone(w.pods)
	for _, p := range r.policies {
		w.createPolicy(p)
	}
	w.check(t)
	for _, s := range r.steps {
		t.Run(s.name, func(t *testing.T) {
			s.do(w)
			w.check(t)
		})
	}
	for name := range maps.Clone(w.policies) {
		w.deletePolicy(name)
	}
	w.restore(namespaces, pods)
	if t.Failed() {
		t.Logf("the row says: %s", r.sentence)
	}
}

// restore undoes what the steps of a row did to pods and namespaces.
func (w *environment) restore(
	namespaces map[string]*corev1.Namespace, pods map[string]*corev1.Pod,
) {
	for name, before := range namespaces {
		if !maps.Equal(w.namespaces[name].Labels, before.Labels) {
			w.putNamespace(name, before.Labels)
		}
	}
	for name := range maps.Clone(w.pods) {
		if pods[name] == nil || pods[name].UID != w.pods[name].UID {
			w.deletePod(name)
		}
	}
	for name, before := range pods {
		switch now := w.pods[name]; {
		case now == nil:
			w.createPod(before)
		case now != before:
			w.updatePod(name, func(p *corev1.Pod) { before.DeepCopyInto(p) })
			w.pods[name] = before
		}
	}
}
