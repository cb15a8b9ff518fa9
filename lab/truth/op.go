// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"net/netip"
	"slices"
)

// Kind says which kind of object an Op replaces.
type Kind string

const (
	// KindTable is the whole table: the operation empties it and sets its frame.
	KindTable Kind = "table"
	// KindRefusal is what happens to forbidden packets.
	KindRefusal Kind = "refusal"
	// KindSet is a set of addresses, or of addresses with ports, that rules refer to.
	KindSet Kind = "set"
	// KindPolicy is one direction of one NetworkPolicy.
	KindPolicy Kind = "policy"
	// KindGuard is a list of policies that pods share.
	KindGuard Kind = "guard"
	// KindAddress is one address of one pod.
	KindAddress Kind = "address"
)

// Op replaces one object of the State. An operation without a value removes the object.
type Op struct {
	Kind Kind `json:"kind"`
	// ID names the object among those of its kind; it is the address itself for KindAddress.
	ID      string   `json:"id,omitempty"`
	Table   *Table   `json:"table,omitempty"`
	Refusal *Refusal `json:"refusal,omitempty"`
	Set     *Set     `json:"set,omitempty"`
	Policy  *Policy  `json:"policy,omitempty"`
	Guard   *Guard   `json:"guard,omitempty"`
	Address *Address `json:"address,omitempty"`
}

// Removes says whether the operation takes its object away.
func (o Op) Removes() bool {
	return o.Table == nil && o.Refusal == nil && o.Set == nil && o.Policy == nil &&
		o.Guard == nil && o.Address == nil
}

// Table is the frame that everything else stands in.
type Table struct {
	// PodCIDRs hold the addresses that nobody may use before the engine has programmed them.
	PodCIDRs []netip.Prefix `json:"podCIDRs"`
	Refusal  Refusal        `json:"refusal"`
}

// Refusal is what happens to packets that policy forbids.
type Refusal string

const (
	// Drop is silence.
	Drop Refusal = ""
	// Reset answers TCP with a reset and everything else with an ICMP port unreachable.
	Reset Refusal = "reset"
	// ICMP answers with an ICMP administratively prohibited.
	ICMP Refusal = "icmp"
)

// Set is a set that rules refer to by its ID. Which field is filled says what it holds.
type Set struct {
	// Pods: the addresses of pods. Which pods, the ID says in words.
	Pods bool `json:"pods,omitempty"`
	// Ports: addresses of pods, each with the number that the pod gives to a named port.
	Ports bool `json:"ports,omitempty"`
	// Members are those that the set is made with. Later ones come and go with Address.Sets.
	Members []Member `json:"members,omitempty"`
	// Block: the addresses of a range. Such a set never changes.
	Block *Block `json:"block,omitempty"`
}

// Member is an element of a set. Port is 0 where the set is not one of ports.
type Member struct {
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port,omitempty"`
}

// Block is a range of addresses without some parts of it.
type Block struct {
	CIDR   netip.Prefix   `json:"cidr"`
	Except []netip.Prefix `json:"except,omitempty"`
}

// Contains says whether the block holds an address.
func (b Block) Contains(address netip.Addr) bool {
	for _, e := range b.Except {
		if e.Contains(address) {
			return false
		}
	}
	return b.CIDR.Contains(address)
}

// Policy is one direction of one NetworkPolicy: a connection that any of its rules matches is
// allowed.
type Policy struct {
	Rules []Rule `json:"rules,omitempty"`
}

// Rule matches connections. A field that is not set matches everything.
type Rule struct {
	// Peers is the set that holds the other end: the source for ingress, the destination for
	// egress.
	Peers string `json:"peers,omitempty"`
	// Protocol is TCP, UDP or SCTP.
	Protocol string `json:"protocol,omitempty"`
	// First and Last are a range of destination ports, both ends included.
	First uint16 `json:"first,omitempty"`
	Last  uint16 `json:"last,omitempty"`
	// Named is the set that holds the destination's address together with its port.
	Named string `json:"named,omitempty"`
}

// Guard stands before the pods that the same policies select: what none of them allows is refused.
type Guard struct {
	Policies []string `json:"policies"`
}

// Address is one address of one pod. Its traffic is blocked for as long as the state does not have
// it.
type Address struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	UID       string `json:"uid"`
	// Node is the node that the pod runs on. Only that node's engine guards it.
	Node string `json:"node"`
	// Ingress and Egress are the guards for each direction; without one, the direction is open.
	Ingress string `json:"ingress,omitempty"`
	Egress  string `json:"egress,omitempty"`
	// Sets are those that the address is a member of, in order.
	Sets []Membership `json:"sets,omitempty"`
}

// Equal says whether two rows say the same.
func (a Address) Equal(b Address) bool {
	return a.Namespace == b.Namespace && a.Pod == b.Pod && a.UID == b.UID && a.Node == b.Node &&
		a.Ingress == b.Ingress && a.Egress == b.Egress && slices.Equal(a.Sets, b.Sets)
}

// Membership is an address's place in a set, with the port where the set is one of ports.
type Membership struct {
	Set  string `json:"set"`
	Port uint16 `json:"port,omitempty"`
}
