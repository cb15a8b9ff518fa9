// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// RoleLabel tells agents, targets and starting pods apart.
const RoleLabel = "netpol-latency/role"

// The roles.
const (
	RoleAgent   = "agent"
	RoleTarget  = "target"
	RoleStartup = "startup"
)

// GroupLabel is the label of target pods by which plans name their group, SideLabel one of agents,
// targets and their namespaces that label scenarios move in and out of a selection.
const (
	GroupLabel = protocol.GroupLabel
	SideLabel  = "netpol-latency/side"
)

// The groups of targets.
const (
	GroupA = "a"
	GroupB = "b"
	GroupC = "c"
)

// The ports of the targets: every target serves both.
const (
	Port      = 8080
	OtherPort = 8081
)

// PortName is the name of a target's port: no other of the pod has it, be it of another protocol.
func PortName(protocol string, port int) string {
	name := map[int]string{Port: "probe", OtherPort: "other"}[port]
	if protocol == setting.TCP {
		return name
	}
	return name + "-" + strings.ToLower(protocol)
}

// policy is an empty policy on the side that the direction says: of all agents, or of all targets.
func (w Parameters) policy(name string) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{
			Name: w.Prefix + name, Namespace: w.AgentNamespace, Labels: maps.Clone(w.Labels),
		},
	}
	p.Spec.PodSelector = w.only(role(w.From))
	p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	if w.Direction == setting.Ingress {
		p.Namespace = w.TargetNamespace
		p.Spec.PodSelector = w.only(role(RoleTarget))
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	}
	return p
}

func role(name string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{RoleLabel: name}}
}

// only narrows a selector to pods of the run.
func (w Parameters) only(pods metav1.LabelSelector) metav1.LabelSelector {
	maps.Copy(pods.MatchLabels, w.Scope)
	return pods
}

// isolation denies everything on its side, but the agents' way to the API server: without that they
// could not be told what to do.
func (w Parameters) isolation() *networkingv1.NetworkPolicy {
	p := w.policy("isolate")
	if w.Direction == setting.Egress {
		p.Spec.Egress = w.toAPIServers()
	}
	return p
}

func (w Parameters) toAPIServers() []networkingv1.NetworkPolicyEgressRule {
	tcp := corev1.ProtocolTCP
	var rules []networkingv1.NetworkPolicyEgressRule
	for _, server := range w.APIServers {
		port := intstr.FromInt32(int32(server.Port()))
		rules = append(rules, networkingv1.NetworkPolicyEgressRule{
			To:    []networkingv1.NetworkPolicyPeer{block(server.Addr())},
			Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &port}},
		})
	}
	return rules
}

// allow permits the traffic of the agents to a group of targets at a port.
func (w Parameters) allow(name, group string, port int) *networkingv1.NetworkPolicy {
	p := w.policy(name)
	w.setRule(p, w.peers(group), port)
	if w.Direction == setting.Ingress {
		p.Spec.PodSelector.MatchLabels[GroupLabel] = group
	}
	return p
}

// setRule gives the policy one rule, on the side that it has.
func (w Parameters) setRule(
	p *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer, port int,
) {
	ports := []networkingv1.NetworkPolicyPort{w.port(port)}
	if w.Direction == setting.Ingress {
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: ports}}
		return
	}
	p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: ports}}
}

// port names a port of the targets in the way that the settings say.
func (w Parameters) port(number int) networkingv1.NetworkPolicyPort {
	protocol := corev1.Protocol(w.Protocol)
	port := intstr.FromInt(number)
	one := networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &port}
	switch w.Port {
	case setting.PortByName:
		name := intstr.FromString(PortName(w.Protocol, number))
		one.Port = &name
	case setting.PortRange:
		// Up to the port or from it on: the other port is never in the range.
		first, last := intstr.FromInt(number-80), int32(number)
		if number == OtherPort {
			first, last = intstr.FromInt(number), int32(number+80)
		}
		one.Port, one.EndPort = &first, &last
	}

	return one
}

// peers are the other side of the policy: a group of targets, or the agents.
func (w Parameters) peers(group string) []networkingv1.NetworkPolicyPeer {
	namespace := w.TargetNamespace
	pods := w.only(metav1.LabelSelector{MatchLabels: map[string]string{GroupLabel: group}})
	if w.Direction == setting.Ingress {
		namespace, pods, group = w.AgentNamespace, w.only(role(w.From)), ""
	}

	named := metav1.LabelSelector{
		MatchLabels: map[string]string{corev1.LabelMetadataName: namespace},
	}
	switch w.Peer {
	case setting.PeerNamespace:
		return []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &named}}
	case setting.PeerBlock:
		if len(w.Addresses[group]) == 0 {
			// of pods that have none yet; no peer would be all
			return []networkingv1.NetworkPolicyPeer{w.allBut("")}
		}
		var all []networkingv1.NetworkPolicyPeer
		for _, address := range w.Addresses[group] {
			all = append(all, block(address))
		}
		return all
	case setting.PeerBlockExcept:
		return []networkingv1.NetworkPolicyPeer{w.allBut(group)}
	}

	return []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &named, PodSelector: &pods}}
}

// block is the peer of one address, or of all of its family where it is the unspecified one.
func block(address netip.Addr) networkingv1.NetworkPolicyPeer {
	bits := address.BitLen()
	if address.IsUnspecified() {
		bits = 0
	}
	return networkingv1.NetworkPolicyPeer{
		IPBlock: &networkingv1.IPBlock{CIDR: netip.PrefixFrom(address, bits).String()},
	}
}

// NamesPodsByAddress reports whether some of the objects are policies that do: they have blocks
// other than the addresses of the API server, which isolation leaves open to the agents.
func (w Parameters) NamesPodsByAddress(objects []runtime.Object) bool {
	var servers []string
	for _, server := range w.APIServers {
		servers = append(servers, block(server.Addr()).IPBlock.CIDR)
	}
	names := func(policy networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(blocksOf(policy), func(one *networkingv1.IPBlock) bool {
			return !slices.Contains(servers, one.CIDR) || len(one.Except) > 0
		})
	}

	return slices.ContainsFunc(objects, func(object runtime.Object) bool {
		switch one := object.(type) {
		case *networkingv1.NetworkPolicy:
			return names(*one)
		case *unstructured.Unstructured: // of a user's own change
			policies, err := networkPolicies([]Object{{Unstructured: one}})
			return err == nil && slices.ContainsFunc(policies, names)
		}
		return false
	})
}

// allowOthers permits everybody but the agents to reach a group of targets.
func (w Parameters) allowOthers(name, group string, port int) *networkingv1.NetworkPolicy {
	p := w.allow(name, group, port)
	p.Spec.Ingress[0].From[0].IPBlock.Except = prefixes(w.Addresses[""])
	return p
}

func prefixes(addresses []netip.Addr) []string {
	var all []string
	for _, address := range addresses {
		all = append(all, netip.PrefixFrom(address, address.BitLen()).String())
	}
	return all
}

// allBut is the block of every address but those of the other groups.
func (w Parameters) allBut(group string) networkingv1.NetworkPolicyPeer {
	everything := &networkingv1.IPBlock{CIDR: "0.0.0.0/0"}
	if w.Family == setting.IPv6 {
		everything.CIDR = "::/0"
	}
	for _, other := range []string{GroupA, GroupB, GroupC} {
		if other == group || group == "" {
			continue
		}
		everything.Except = append(everything.Except, prefixes(w.Addresses[other])...)
	}
	return networkingv1.NetworkPolicyPeer{IPBlock: everything}
}
