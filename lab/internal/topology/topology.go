// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package topology holds the lab's addresses. They are the same in every lab, because each lab has
// network namespaces of its own.
package topology

import (
	"fmt"
	"net/netip"
)

// Bridge is the interface of the control plane's namespace that all nodes are attached to.
const Bridge = "cluster0"

// APIServerPort is the port of the API server on the control plane's addresses.
const APIServerPort = 6443

// ControlPlane are the addresses of the control plane with the lengths of their prefixes.
func ControlPlane() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("172.18.0.1/16"),
		netip.MustParsePrefix("fd00:172:18::1/64")}
}

// Services are the ranges of service addresses, and KubernetesService the addresses of the service
// in them that stands for the API server.
func Services() string { return "10.96.0.0/16,fd00:10:96::/112" }

// KubernetesService are the addresses of the service default/kubernetes.
func KubernetesService() []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.96.0.1")} }

// Pods are the ranges of all pod addresses.
func Pods() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"),
		netip.MustParsePrefix("fd00:10:244::/56")}
}

// MaxNodes is how many nodes have room in the pods' ranges.
const MaxNodes = 16

// Node is one node's part of the addresses.
type Node struct {
	Name      string
	Addresses []netip.Prefix
	PodCIDRs  []netip.Prefix
}

// NewNode is the part of the node with that index, from 0 to MaxNodes-1.
func NewNode(index int) Node {
	return Node{
		Name: fmt.Sprintf("node-%d", index),
		Addresses: []netip.Prefix{
			netip.MustParsePrefix(fmt.Sprintf("172.18.0.%d/16", 2+index)),
			netip.MustParsePrefix(fmt.Sprintf("fd00:172:18::%x/64", 2+index)),
		},
		PodCIDRs: []netip.Prefix{
			netip.MustParsePrefix(fmt.Sprintf("10.244.%d.0/20", 16*index)),
			netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%x::/64", index)),
		},
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
