// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// model answers what NetworkPolicy v1 says about a connection, straight from the objects and in the
// words of the API's documentation. It is slow and knows nothing of addresses sets, chains or
// groups; it shares no code with the engine, not even that which reads selectors.
type model struct {
	namespaces []*corev1.Namespace
	pods       []*corev1.Pod
	policies   []*networkingv1.NetworkPolicy
}

// party is one end of a connection: an address, and the pod that has it if one does.
type party struct {
	ip   net.IP
	pod  *corev1.Pod
	node bool // the node that all pods run on
}

// party finds the pod behind an address. Pods in the host's network have no address of their own,
// and pods that have ended have none any more.
func (m model) party(ip net.IP) party {
	var newest *corev1.Pod
	for _, p := range m.pods {
		if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded ||
			p.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, podIP := range p.Status.PodIPs {
			if net.ParseIP(podIP.IP).Equal(ip) && (newest == nil ||
				newest.CreationTimestamp.Before(&p.CreationTimestamp)) {
				newest = p
			}
		}
	}
	return party{ip: ip, pod: newest}
}

// allows says whether a new connection may be made. A pod is always reachable from its node.
func (m model) allows(from, to party, protocol corev1.Protocol, port int32) bool {
	return m.allowsEgress(from, to, protocol, port) && (from.node ||
		m.allowsIngress(from, to, protocol, port))
}

// allowsIngress: "If no policies select the pod, all ingress is allowed. If any does, the pod is
// isolated, and the connection is allowed if at least one rule of one of them matches."
func (m model) allowsIngress(from, to party, protocol corev1.Protocol, port int32) bool {
	isolated := false
	for _, policy := range m.policies {
		if !m.appliesTo(policy, to, networkingv1.PolicyTypeIngress) {
			continue
		}
		isolated = true
		for _, rule := range policy.Spec.Ingress {
			if m.matchesPeers(policy, rule.From, from) &&
				matchesPorts(rule.Ports, to, protocol, port) {
				return true
			}
		}
	}
	return !isolated
}

func (m model) allowsEgress(from, to party, protocol corev1.Protocol, port int32) bool {
	isolated := false
	for _, policy := range m.policies {
		if !m.appliesTo(policy, from, networkingv1.PolicyTypeEgress) {
			continue
		}
		isolated = true
		for _, rule := range policy.Spec.Egress {
			if m.matchesPeers(policy, rule.To, to) && matchesPorts(rule.Ports, to, protocol, port) {
				return true
			}
		}
	}
	return !isolated
}

// appliesTo: a policy selects pods of its own namespace, for the directions of its policyTypes. "If
// policyTypes is not specified, it defaults to Ingress always, and Egress if the policy has egress
// rules."
func (m model) appliesTo(
	policy *networkingv1.NetworkPolicy, who party, direction networkingv1.PolicyType,
) bool {
	if who.pod == nil || who.pod.Namespace != policy.Namespace {
		return false
	}
	types := policy.Spec.PolicyTypes
	if len(types) == 0 {
		types = append(types, networkingv1.PolicyTypeIngress)
		if len(policy.Spec.Egress) > 0 {
			types = append(types, networkingv1.PolicyTypeEgress)
		}
	}
	return slices.Contains(types, direction) && matchesLabels(policy.Spec.PodSelector,
		who.pod.Labels)
}

// matchesPeers: "If this field is empty or missing, this rule matches all sources."
func (m model) matchesPeers(
	policy *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer, who party,
) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers,
		func(peer networkingv1.NetworkPolicyPeer) bool {
			return m.matchesPeer(policy, peer, who)
		})
}

func (m model) matchesPeer(
	policy *networkingv1.NetworkPolicy, peer networkingv1.NetworkPolicyPeer, who party,
) bool {
	if peer.IPBlock != nil {
		return inBlock(peer.IPBlock, who.ip)
	}
	if who.pod == nil {
		return false
	}
	if peer.NamespaceSelector == nil {
		return who.pod.Namespace == policy.Namespace &&
			matchesLabels(*peer.PodSelector, who.pod.Labels)
	}
	for _, n := range m.namespaces {
		if n.Name == who.pod.Namespace && matchesLabels(*peer.NamespaceSelector, n.Labels) {
			return peer.PodSelector == nil || matchesLabels(*peer.PodSelector, who.pod.Labels)
		}
	}
	return false
}

func inBlock(block *networkingv1.IPBlock, ip net.IP) bool {
	contains := func(cidr string) bool {
		_, network, err := net.ParseCIDR(cidr)
		return err == nil && (ip.To4() != nil) == (network.IP.To4() != nil) && network.Contains(ip)
	}
	return contains(block.CIDR) && !slices.ContainsFunc(block.Except, contains)
}

// matchesPorts: "If this field is empty or missing, this rule matches all ports." The protocol of a
// port defaults to TCP; a named port is one of the destination pod's containers.
func matchesPorts(
	ports []networkingv1.NetworkPolicyPort, to party, protocol corev1.Protocol, number int32,
) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports,
		func(p networkingv1.NetworkPolicyPort) bool {
			wanted := corev1.ProtocolTCP
			if p.Protocol != nil {
				wanted = *p.Protocol
			}
			switch {
			case wanted != protocol:
				return false
			case p.Port == nil:
				return true
			case p.Port.Type == intstr.String:
				return hasNamedPort(to, p.Port.StrVal, protocol, number)
			case p.EndPort != nil:
				return p.Port.IntVal <= number && number <= *p.EndPort
			}
			return p.Port.IntVal == number
		})
}

func hasNamedPort(to party, name string, protocol corev1.Protocol, number int32) bool {
	if to.pod == nil {
		return false
	}
	for _, c := range to.pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name && p.Protocol == protocol && p.ContainerPort == number {
				return true
			}
		}
	}
	return false
}

// matchesLabels: all requirements must hold; a selector without any matches everything.
func matchesLabels(selector metav1.LabelSelector, labels map[string]string) bool {
	for key, value := range selector.MatchLabels {
		if got, has := labels[key]; !has || got != value {
			return false
		}
	}
	for _, e := range selector.MatchExpressions {
		value, has := labels[e.Key]
		holds := map[metav1.LabelSelectorOperator]bool{
			metav1.LabelSelectorOpIn:           has && slices.Contains(e.Values, value),
			metav1.LabelSelectorOpNotIn:        !has || !slices.Contains(e.Values, value),
			metav1.LabelSelectorOpExists:       has,
			metav1.LabelSelectorOpDoesNotExist: !has,
		}[e.Operator]
		if !holds {
			return false
		}
	}
	return true
}
