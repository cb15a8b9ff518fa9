// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// The directions: on which side of a pair the policy is.
const (
	Egress  = "egress"
	Ingress = "ingress"
)

// The kinds of peers that the policies name.
const (
	PeerPod         = "podSelector"
	PeerNamespace   = "namespaceSelector"
	PeerBlock       = "ipBlock"
	PeerBlockExcept = "ipBlockExcept"
)

// The kinds of ports that the policies name.
const (
	PortNumber = "number"
	PortByName = "name"
	PortRange  = "range"
)

// The IP families.
const (
	IPv4 = "IPv4"
	IPv6 = "IPv6"
)

// Settings are how a scenario's policies are written.
type Settings struct {
	Direction string
	Protocol  string // TCP or UDP
	Family    string
	Peer      string
	Port      string
	// Baseline leaves the policies away.
	Baseline bool
}

// DefaultSettings are egress policies by pod selector and port number, over IPv4 and TCP.
func DefaultSettings() Settings {
	return Settings{Direction: Egress, Protocol: string(corev1.ProtocolTCP), Family: IPv4, Peer: PeerPod, Port: PortNumber}
}

// Validate reports every mistake at once.
func (s Settings) Validate() error {
	return errors.Join(
		OneOf("direction", s.Direction, Egress, Ingress),
		OneOf("protocol", s.Protocol, string(corev1.ProtocolTCP), string(corev1.ProtocolUDP)),
		OneOf("family", s.Family, IPv4, IPv6),
		OneOf("peer", s.Peer, PeerPod, PeerNamespace, PeerBlock, PeerBlockExcept),
		OneOf("port", s.Port, PortNumber, PortByName, PortRange),
	)
}

// OneOf is nil if a value is among the known ones, and else an error that lists them.
func OneOf(what, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s %q: expected one of %s", what, value, strings.Join(known, ", "))
}

// World is where a scenario plays.
type World struct {
	Settings
	// AgentNamespace and TargetNamespace are the namespaces of the agents and of the targets.
	AgentNamespace, TargetNamespace string
	// APIServers must stay reachable for the agents.
	APIServers []netip.AddrPort
	// From is the role of the pods that probe, AgentPods their names.
	From      string
	AgentPods []string
	// Addresses are the targets' addresses by group, and the agents' under the empty group: those of the
	// family. Policies with address blocks name them.
	Addresses map[string][]netip.Addr
}
