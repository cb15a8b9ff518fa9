// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// direction is ingress or egress, as seen from the pods that a policy selects.
type direction int

const (
	ingress direction = iota
	egress
)

func (d direction) String() string { return [...]string{"ingress", "egress"}[d] }

// compiled is a NetworkPolicy in the terms of the truth package. It does not depend on which pods
// and namespaces exist.
type compiled struct {
	subject selection
	// chains has nil for a direction that the policy does not isolate.
	chains [2]*chain
}

// chain is one direction of a policy, with the meaning of the sets that its rules refer to.
type chain struct {
	rules []truth.Rule
	sets  map[string]origin
}

// origin says what a set holds: the pods of a selection, a block, or else what the set's id names,
// the pods with a named port.
type origin struct {
	selection *selection
	block     *truth.Block
}

// compile is a pure function of the policy. A part that the API server would not have accepted
// allows nothing.
func compile(policy *networkingv1.NetworkPolicy) (compiled, error) {
	subject, err := selectPods(policy.Namespace, &policy.Spec.PodSelector)
	if err != nil {
		return compiled{}, err
	}
	c := compiled{subject: subject}
	isolates := policyTypes(policy.Spec)
	if isolates[ingress] {
		c.chains[ingress] = newChain()
		for _, r := range policy.Spec.Ingress {
			c.chains[ingress].add(policy.Namespace, r.From, r.Ports)
		}
	}

	if isolates[egress] {
		c.chains[egress] = newChain()
		for _, r := range policy.Spec.Egress {
			c.chains[egress].add(policy.Namespace, r.To, r.Ports)
		}
	}

	return c, nil
}

// policyTypes says which directions a policy isolates: without policyTypes always ingress, and
// egress if it has egress rules.
func policyTypes(spec networkingv1.NetworkPolicySpec) [2]bool {
	if len(spec.PolicyTypes) == 0 {
		return [2]bool{ingress: true, egress: len(spec.Egress) > 0}
	}
	return [2]bool{
		ingress: slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeIngress),
		egress:  slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeEgress),
	}
}

func newChain() *chain { return &chain{sets: map[string]origin{}} }

// add takes up one rule of the policy: any of the peers, on any of the ports.
func (c *chain) add(
	namespace string, peers []networkingv1.NetworkPolicyPeer,
	ports []networkingv1.NetworkPolicyPort,
) {
	sets := []string{""} // no peers means everyone
	if len(peers) > 0 {
		sets = c.peerSets(namespace, peers)
	}
	for _, port := range c.portRules(ports) {
		for _, set := range sets {
			rule := port
			rule.Peers = set
			c.rules = append(c.rules, rule)
		}
	}
}

func (c *chain) peerSets(namespace string, peers []networkingv1.NetworkPolicyPeer) []string {
	var ids []string
	for _, peer := range peers {
		id, from, err := peerSet(namespace, peer)
		if err != nil {
			klog.ErrorS(err, "A peer of a policy allows nothing", "namespace", namespace)
			continue
		}
		c.sets[id] = from
		ids = append(ids, id)
	}
	return ids
}

func peerSet(namespace string, peer networkingv1.NetworkPolicyPeer) (string, origin, error) {
	var selected selection
	var err error
	switch {
	case peer.IPBlock != nil:
		block, err := parseBlock(peer.IPBlock)
		return blockID(block), origin{block: &block}, err
	case peer.NamespaceSelector != nil:
		selected, err = selectNamespaces(peer.NamespaceSelector, peer.PodSelector)
	case peer.PodSelector != nil:
		selected, err = selectPods(namespace, peer.PodSelector)
	default:
		err = fmt.Errorf("the peer names neither pods nor namespaces nor addresses")
	}

	return selected.id, origin{selection: &selected}, err
}

func parseBlock(b *networkingv1.IPBlock) (truth.Block, error) {
	cidr, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return truth.Block{}, fmt.Errorf("read the ipBlock: %w", err)
	}
	block := truth.Block{CIDR: cidr.Masked()}
	for _, e := range b.Except {
		except, err := netip.ParsePrefix(e)
		if err != nil {
			return truth.Block{}, fmt.Errorf("read the ipBlock's exception: %w", err)
		}
		block.Except = append(block.Except, except.Masked())
	}

	return block, nil
}

func blockID(b truth.Block) string {
	id := "block " + b.CIDR.String()
	for i, e := range b.Except {
		id += [...]string{" except ", ","}[min(i, 1)] + e.String()
	}
	return id
}

// portRules is a rule for every port, still without peers. No ports means all of them, of every
// protocol.
func (c *chain) portRules(ports []networkingv1.NetworkPolicyPort) []truth.Rule {
	if len(ports) == 0 {
		return []truth.Rule{{}}
	}
	var rules []truth.Rule
	for _, p := range ports {
		rule := truth.Rule{Protocol: string(corev1.ProtocolTCP)}
		if p.Protocol != nil {
			rule.Protocol = strings.ToUpper(string(*p.Protocol))
		}
		switch {
		case p.Port == nil:
		case p.Port.Type == intstr.String:
			rule.Named = portID(rule.Protocol, p.Port.StrVal)
			c.sets[rule.Named] = origin{}
		default:
			rule.First, rule.Last = uint16(p.Port.IntVal), uint16(p.Port.IntVal)
			if p.EndPort != nil {
				rule.Last = uint16(*p.EndPort)
			}
		}
		rules = append(rules, rule)
	}

	return rules
}

// withoutExceptions is a policy whose blocks have none.
func withoutExceptions(object *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	object = object.DeepCopy()
	for _, r := range object.Spec.Ingress {
		dropExceptions(r.From)
	}
	for _, r := range object.Spec.Egress {
		dropExceptions(r.To)
	}
	return object
}

func dropExceptions(peers []networkingv1.NetworkPolicyPeer) {
	for _, peer := range peers {
		if peer.IPBlock != nil {
			peer.IPBlock.Except = nil
		}
	}
}
