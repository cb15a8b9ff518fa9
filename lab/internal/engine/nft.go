// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// The table's frame. A packet that reaches the node passes through both directions, each in a base
// chain of its own: accept in the first leads to the second. They come after Services are
// translated and before the packet is routed: to look up a route costs more than all of policy, and
// what is refused needs none. The chains named after the directions find the guard of a pod by its
// address.
//
//	arriving-queue (prerouting - 1)   established, neighbour discovery: accept; pods: NFQUEUE
//	                                  (an engine that filters in user space only)
//	arriving-egress (prerouting)      established, neighbour discovery: accept; goto egress
//	arriving-ingress (prerouting + 1) established, neighbour discovery: accept; goto ingress
//	forwarded (forward)               neighbour discovery: drop
//	egress                        source vmap @egress-4 / @egress-6; from PodCIDRs: drop
//	ingress                       destination vmap @ingress-4 / @ingress-6; to PodCIDRs: drop
//	guard-…                       jump policy-… for each policy; goto refuse
//	policy-…                      accept what the policy allows
//	refuse                        drop or reject
const refuseChain = "refuse"

// chain names a chain that is there.
func (k *kernel) chain(name string) *nftables.Chain {
	return &nftables.Chain{Name: name, Table: k.table}
}

func (k *kernel) addChain(name string) { k.conn.AddChain(k.chain(name)) }

// addRule appends a rule to a chain. The comment is for those who list the rules with nft.
func (k *kernel) addRule(chain, comment string, exprs ...[]expr.Any) {
	rule := &nftables.Rule{Table: k.table, Chain: k.chain(chain)}
	for _, part := range exprs {
		rule.Exprs = append(rule.Exprs, part...)
	}
	if comment != "" {
		rule.UserData = userdata.AppendString(nil, userdata.TypeComment, shorten(comment))
	}
	k.conn.AddRule(rule)
}

// makeTable replaces the table by one that has its frame and no pods, in the same transaction.
func (k *kernel) makeTable() {
	k.conn.AddTable(k.table) // so that deleting it cannot fail
	k.conn.DelTable(k.table)
	k.conn.AddTable(k.table)
	k.addChain(refuseChain)
	k.refuse()
	for _, d := range []direction{ingress, egress} {
		k.addChain(d.String())
		for _, f := range families {
			k.addMap(dispatchMap(d, f), f)
			k.addRule(d.String(), "", f.match(), f.load(d.own(), 1),
				lookupVerdict(dispatchMap(d, f)))
		}
		for _, cidr := range k.state.Table.PodCIDRs {
			k.addRule(d.String(), "not programmed yet", matchPrefix(d.own(), cidr),
				verdict(expr.VerdictDrop))
		}
	}

	if k.queue != nil {
		k.addQueue()
	}
	k.addDirection(egress, 0)
	k.addDirection(ingress, 1)

	// What looks like neighbour discovery has passed both directions, for the node. It is never
	// valid beyond its own link (RFC 4861, section 7.1).
	k.addBase("forwarded", nftables.ChainHookForward, 0)
	k.addRule("forwarded", "neighbour discovery", matchNeighbourDiscovery(),
		verdict(expr.VerdictDrop))
}

// addDirection hooks one direction into the packets' path.
func (k *kernel) addDirection(d direction, order int) {
	name := "arriving-" + d.String()
	k.addBase(name, nftables.ChainHookPrerouting, order)
	k.addRule(name, "", matchEstablished(), verdict(expr.VerdictAccept))
	k.addRule(name, "neighbour discovery", matchNeighbourDiscovery(), verdict(expr.VerdictAccept))
	k.addRule(name, "", jump(expr.VerdictGoto, d.String()))
}

// addBase adds a chain that packets come to by themselves.
func (k *kernel) addBase(name string, hook *nftables.ChainHook, order int) {
	chain := k.chain(name)
	chain.Type, chain.Hooknum = nftables.ChainTypeFilter, hook
	chain.Priority = nftables.ChainPriorityRef(*nftables.ChainPriorityFilter +
		nftables.ChainPriority(order))
	k.conn.AddChain(chain)
}

// refuse fills the chain that ends every guard.
func (k *kernel) refuse() {
	switch k.state.Table.Refusal {
	case truth.Reset:
		k.addRule(refuseChain, "", matchProtocol(unix.IPPROTO_TCP),
			reject(unix.NFT_REJECT_TCP_RST, 0))
		k.addRule(refuseChain, "", reject(unix.NFT_REJECT_ICMPX_UNREACH,
			unix.NFT_REJECT_ICMPX_PORT_UNREACH))
	case truth.ICMP:
		k.addRule(refuseChain, "", reject(unix.NFT_REJECT_ICMPX_UNREACH,
			unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED))
	default:
		k.addRule(refuseChain, "", verdict(expr.VerdictDrop))
	}
}

func (k *kernel) putGuard(id string, g truth.Guard, replaces bool) {
	name := guardChain(id)
	k.putChain(name, replaces)
	for _, policy := range g.Policies {
		k.addRule(name, policy, jump(expr.VerdictJump, policyChainName(policy)))
	}
	k.addRule(name, "", jump(expr.VerdictGoto, refuseChain))
}

func (k *kernel) putPolicy(id string, p truth.Policy, replaces bool) {
	name := policyChainName(id)
	k.putChain(name, replaces)
	for _, rule := range p.Rules {
		for _, match := range k.matches(rule, directionOf(id)) {
			k.addRule(name, id, match, verdict(expr.VerdictAccept))
		}
	}
}

func (k *kernel) putChain(name string, replaces bool) {
	if replaces {
		k.conn.FlushChain(k.chain(name))
		return
	}
	k.addChain(name)
}

// matches are the expressions for a rule: one list for each family that its sets have, or one for
// both families if it has no set.
func (k *kernel) matches(r truth.Rule, d direction) [][]expr.Any {
	if r.Peers == "" && r.Named == "" {
		return [][]expr.Any{matchPorts(r)}
	}
	var lists [][]expr.Any
	for _, f := range k.familiesOf(r) {
		match := f.match()
		if r.Peers != "" {
			match = append(match, f.load(d.peer(), 1)...)
			match = append(match, lookup(setName(r.Peers, f)))
		}
		match = append(match, matchPorts(r)...)
		if r.Named != "" {
			match = append(match, f.load(destination, register32)...)
			match = append(match, loadPort(register32+f.words()),
				lookupFrom(setName(r.Named, f), register32))
		}
		lists = append(lists, match)
	}

	return lists
}

// familiesOf is one family for a rule about a block of addresses, otherwise both.
func (k *kernel) familiesOf(r truth.Rule) []family {
	if block := k.state.Sets[r.Peers].Block; block != nil {
		return []family{familyOf(block.CIDR.Addr())}
	}
	return []family{ipv4, ipv6}
}

// matchPorts compares the protocol and the destination port with numbers.
func matchPorts(r truth.Rule) []expr.Any {
	if r.Protocol == "" {
		return nil
	}
	match := matchProtocol(protocolNumber(r.Protocol))
	switch {
	case r.Last == 0:
	case r.First == r.Last:
		match = append(match, loadPort(1), &expr.Cmp{Op: expr.CmpOpEq, Register: 1,
			Data: port(r.First)})
	default:
		match = append(match, loadPort(1), &expr.Range{Op: expr.CmpOpEq, Register: 1,
			FromData: port(r.First), ToData: port(r.Last)})
	}

	return match
}

// matchPrefix compares one end of the packet with a prefix.
func matchPrefix(at end, prefix netip.Prefix) []expr.Any {
	f := familyOf(prefix.Addr())
	match := append(f.match(), f.load(at, 1)...)
	return append(match,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: f.bytes(), Mask: mask(prefix),
			Xor: make([]byte, f.bytes())},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: prefix.Masked().Addr().AsSlice()})
}
