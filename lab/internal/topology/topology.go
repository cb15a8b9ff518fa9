// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package topology holds the lab's addresses. They are the same in every lab, because each lab has
// network namespaces of its own.
package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Bridge is the interface of the control plane's namespace that all nodes are attached to.
const Bridge = "cluster0"

// APIServerPort is the port of the API server on the control plane's addresses.
const APIServerPort = 6443

// MaxNodes is how many nodes have room in the pods' ranges.
const MaxNodes = 16

// Family says of which IP families the addresses of a lab are. What is empty is [Dual].
type Family string

// The families. A dual-stack lab prefers IPv4.
const (
	Dual Family = "dual"
	IPv4 Family = "IPv4"
	IPv6 Family = "IPv6"
)

// Validate reports a family that there is not.
func (f Family) Validate() error {
	known := []Family{Dual, IPv4, IPv6}
	if f == "" || slices.Contains(known, f) {
		return nil
	}
	return fmt.Errorf("--family is %q: expected %s, %s or %s", string(f), Dual, IPv4, IPv6)
}

// has reports whether the lab has addresses like that one.
func (f Family) has(a netip.Addr) bool { return f != IPv6 && a.Is4() || f != IPv4 && a.Is6() }

// prefixes are those of the texts that are of the families.
func (f Family) prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		if one := netip.MustParsePrefix(text); f.has(one.Addr()) {
			all = append(all, one)
		}
	}
	return all
}

// ControlPlane are the addresses of the control plane with the lengths of their prefixes.
func (f Family) ControlPlane() []netip.Prefix {
	return f.prefixes("172.18.0.1/16", "fd00:172:18::1/64")
}

// APIServer is the address at which nodes and pods find the API server.
func (f Family) APIServer() netip.AddrPort {
	return netip.AddrPortFrom(f.ControlPlane()[0].Addr(), APIServerPort)
}

// ServiceCIDRs are the ranges of service addresses.
func (f Family) ServiceCIDRs() []netip.Prefix {
	return f.prefixes("10.96.0.0/16", "fd00:10:96::/112")
}

// Services are the ranges of service addresses as the API server's flag has them.
func (f Family) Services() string {
	var texts []string
	for _, one := range f.ServiceCIDRs() {
		texts = append(texts, one.String())
	}
	return strings.Join(texts, ",")
}

// KubernetesService is the address of the service default/kubernetes, which stands for the API
// server: the first of the first range.
func (f Family) KubernetesService() netip.Addr { return f.ServiceCIDRs()[0].Addr().Next() }

// Pods are the ranges of all pod addresses.
func (f Family) Pods() []netip.Prefix { return f.prefixes("10.244.0.0/16", "fd00:10:244::/56") }

// Node is one node's part of the addresses.
type Node struct {
	Name      string
	Addresses []netip.Prefix
	PodCIDRs  []netip.Prefix
}

// NewNode is the part of the node with that index, from 0 to MaxNodes-1.
func (f Family) NewNode(index int) Node {
	return Node{
		Name: fmt.Sprintf("node-%d", index),
		Addresses: f.prefixes(fmt.Sprintf("172.18.0.%d/16", 2+index),
			fmt.Sprintf("fd00:172:18::%x/64", 2+index)),
		PodCIDRs: f.prefixes(fmt.Sprintf("10.244.%d.0/20", 16*index),
			fmt.Sprintf("fd00:10:244:%x::/64", index)),
	}
}

// Engine is the name of the node's engine component.
func (n Node) Engine() string { return "engine" + n.Name[len("node"):] }

// IPs are the node's addresses without prefixes.
func (n Node) IPs() []netip.Addr {
	var all []netip.Addr
	for _, prefix := range n.Addresses {
		all = append(all, prefix.Addr())
	}
	return all
}
