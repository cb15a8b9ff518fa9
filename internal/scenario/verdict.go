// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// end is one end of a pair as policies see it: all agents, or all targets.
type end struct {
	what       string // "agents" or "targets"
	namespace  string // as the files call it
	pods, home selectable
	addresses  []netip.Prefix // where they are, as far as that is known
}

// selectable is what a selector is held against: pods, or a namespace.
type selectable struct {
	whose string // what messages call them
	all   labels.Set
	asked labels.Set // those that somebody has asked for: messages say these
}

// with has further labels, which are asked for.
func (s selectable) with(more map[string]string) selectable {
	s.all, s.asked = labels.Merge(s.all, more), labels.Merge(s.asked, more)
	return s
}

// shown are the labels that tell why a selector does not match: those that are asked for, and what
// the selector names.
func (s selectable) shown(selector *metav1.LabelSelector) labels.Set {
	shown, named := maps.Clone(s.all), keys(selector)
	maps.DeleteFunc(shown, func(key, _ string) bool {
		_, asked := s.asked[key]
		return Reserved(key) || key == corev1.LabelMetadataName ||
			!asked && !slices.Contains(named, key)
	})
	return shown
}

// with is the end with further labels of its pods and of its namespace.
func (e end) with(pods, namespace map[string]string) end {
	e.pods, e.home = e.pods.with(pods), e.home.with(namespace)
	return e
}

// pair is what the verdict is about.
type pair struct {
	agents, targets end
	protocol        corev1.Protocol
	port            TargetPort
}

// rules are what policies of one direction say of a peer, with how a rule is called there.
type rule struct {
	at    string
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

// rulesOf are the rules of a policy in one direction; false if it is not about that.
func rulesOf(policy networkingv1.NetworkPolicy, ingress bool) ([]rule, bool) {
	var all []rule
	if ingress {
		for i, one := range policy.Spec.Ingress {
			all = append(all, rule{fmt.Sprintf("spec.ingress[%d]", i), one.From, one.Ports})
		}
		return all, isAbout(policy, networkingv1.PolicyTypeIngress, true)
	}
	for i, one := range policy.Spec.Egress {
		all = append(all, rule{fmt.Sprintf("spec.egress[%d]", i), one.To, one.Ports})
	}
	return all, isAbout(policy, networkingv1.PolicyTypeEgress, len(all) > 0)
}

// isAbout reports whether a policy has a type, or as the API server fills it in where it says none.
func isAbout(
	policy networkingv1.NetworkPolicy, of networkingv1.PolicyType, otherwise bool,
) bool {
	if len(policy.Spec.PolicyTypes) == 0 {
		return otherwise
	}
	return slices.Contains(policy.Spec.PolicyTypes, of)
}

// peerAt is what the peer of a rule is called there.
func (r rule) peerAt(ingress bool, number int) string {
	if ingress {
		return fmt.Sprintf("%s.from[%d]", r.at, number)
	}
	return fmt.Sprintf("%s.to[%d]", r.at, number)
}

// verdict says whether policies allow new connections of a pair, and what decides that.
func (p pair) verdict(policies []networkingv1.NetworkPolicy) (allowed bool, why string) {
	allowed, out := p.oneWay(policies, false)
	if !allowed {
		return false, out
	}
	allowed, in := p.oneWay(policies, true)
	if !allowed || in != "" {
		return allowed, in
	}
	return true, out
}

// oneWay is the verdict of the policies on one side. It is silent where none of them says anything
// of this side.
func (p pair) oneWay(
	policies []networkingv1.NetworkPolicy, ingress bool,
) (allowed bool, why string) {
	subject, peer := p.agents, p.targets
	if ingress {
		subject, peer = peer, subject
	}

	isolated := false
	var others, within []string // why policies do not select the pods, and rules not allow them
	for _, policy := range policies {
		rules, about := rulesOf(policy, ingress)
		if !about {
			continue
		}
		name := policyName(policy)
		if text := subject.missed(policy); text != "" {
			others = append(others, name+": "+text)
			continue
		}
		isolated = true
		for _, one := range rules {
			text := p.missed(one, policy.Namespace, peer, ingress)
			if text == "" {
				return true, fmt.Sprintf("%s: %s allows it", name, one.at)
			}
			within = append(within, name+": "+text)
		}
		if len(rules) == 0 && policy.Name != "" { // the run's own isolation has no name here
			within = append(within, name+" isolates the "+subject.what)
		}
	}
	if len(within) > 0 {
		others = within
	}
	return !isolated, strings.Join(others, "; ")
}

// missed says why a policy does not select an end; empty if it does.
func (e end) missed(policy networkingv1.NetworkPolicy) string {
	if policy.Namespace != e.namespace {
		return fmt.Sprintf("it is in %s, and the %s are in %s", namespaceText(policy.Namespace),
			e.what, namespaceText(e.namespace))
	}
	return e.pods.unmatched("spec.podSelector", &policy.Spec.PodSelector)
}

// missed says why a rule does not allow the pair; empty if it does.
func (p pair) missed(r rule, namespace string, peer end, ingress bool) string {
	if text := p.missedPort(r); text != "" {
		return text
	}
	var all []string
	for i, one := range r.peers { // none are all
		text := peer.missedBy(r.peerAt(ingress, i), one, namespace)
		if text == "" {
			return ""
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// missedPort says why a rule is about other ports.
func (p pair) missedPort(r rule) string {
	var all []string
	for i, one := range r.ports {
		if p.hasPort(one) {
			return ""
		}
		all = append(all, fmt.Sprintf("%s.ports[%d] is %s, and the targets serve %s %s", r.at, i,
			portText(one), p.protocol, p.port))
	}
	return strings.Join(all, "; ")
}

func (p pair) hasPort(one networkingv1.NetworkPolicyPort) bool {
	if protocolOf(one) != p.protocol {
		return false
	}
	switch {
	case one.Port == nil:
		return true
	case one.Port.Type == intstr.String:
		return one.Port.StrVal == p.port.Name
	case one.EndPort != nil:
		return int(one.Port.IntVal) <= p.port.Number && p.port.Number <= int(*one.EndPort)
	}
	return int(one.Port.IntVal) == p.port.Number
}

func protocolOf(one networkingv1.NetworkPolicyPort) corev1.Protocol {
	if one.Protocol == nil {
		return corev1.ProtocolTCP
	}
	return *one.Protocol
}

// String is the port as --to-port takes it.
func (p TargetPort) String() string {
	if p.Name == "" {
		return fmt.Sprint(p.Number)
	}
	return fmt.Sprintf("%d=%s", p.Number, p.Name)
}

func portText(one networkingv1.NetworkPolicyPort) string {
	text := string(protocolOf(one))
	if one.Port != nil {
		text += " " + one.Port.String()
	}
	if one.EndPort != nil {
		text += fmt.Sprintf(" to %d", *one.EndPort)
	}
	return text
}

// missedBy says why a peer of a rule in a namespace is not this end; empty if it is.
func (e end) missedBy(at string, peer networkingv1.NetworkPolicyPeer, namespace string) string {
	if peer.IPBlock != nil {
		return e.outside(at+".ipBlock", *peer.IPBlock)
	}
	if peer.NamespaceSelector == nil && namespace != e.namespace {
		return fmt.Sprintf("%s is a podSelector alone, which means %s, and the %s are in %s", at,
			namespaceText(namespace), e.what, namespaceText(e.namespace))
	}

	if peer.NamespaceSelector != nil {
		text := e.home.unmatched(at+".namespaceSelector", peer.NamespaceSelector)
		if text != "" {
			return text
		}
	}
	if peer.PodSelector == nil {
		return ""
	}
	return e.pods.unmatched(at+".podSelector", peer.PodSelector)
}

// outside says why no address of this end is in a block; empty if one is, or may be.
func (e end) outside(at string, block networkingv1.IPBlock) string {
	cidr, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		return fmt.Sprintf("%s is no block of addresses: %v", at, err)
	}
	within := func(text string, prefix netip.Prefix) bool {
		except, err := netip.ParsePrefix(text)
		return err == nil && except.Bits() <= prefix.Bits() && except.Contains(prefix.Addr())
	}

	var where []string
	for _, prefix := range e.addresses {
		inExcept := slices.ContainsFunc(block.Except, func(text string) bool {
			return within(text, prefix)
		})
		if cidr.Overlaps(prefix) && !inExcept {
			return ""
		}
		where = append(where, prefix.String())
	}
	text := at + " " + block.CIDR
	if len(block.Except) > 0 {
		text += " except " + strings.Join(block.Except, ", ")
	}
	const shown = 3
	if len(where) > shown {
		where = append(where[:shown], "…")
	}
	return fmt.Sprintf("%s has no address of the %s, which are in %s", text, e.what,
		strings.Join(where, ", "))
}

// unmatched says why a selector does not match; empty if it does.
func (s selectable) unmatched(at string, selector *metav1.LabelSelector) string {
	matcher, err := metav1.LabelSelectorAsSelector(selector)
	switch {
	case err != nil:
		return fmt.Sprintf("%s cannot be read: %v", at, err)
	case matcher.Matches(s.all):
		return ""
	}
	return fmt.Sprintf("%s %q does not match the labels of %s, %q", at,
		metav1.FormatLabelSelector(selector), s.whose, s.shown(selector))
}

func policyName(policy networkingv1.NetworkPolicy) string {
	if policy.Namespace == "" {
		return "NetworkPolicy " + policy.Name
	}
	return "NetworkPolicy " + policy.Namespace + "/" + policy.Name
}

// namespaceText is what messages call a namespace of the user's files.
func namespaceText(name string) string {
	switch name {
	case "":
		return "the namespace of objects that name none"
	case unnamedAgents, unnamedTargets:
		return "a namespace of their own"
	}
	return "namespace " + name
}
