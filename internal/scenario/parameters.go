// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"net/netip"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Parameters say where a scenario runs, and how its policies are written.
type Parameters struct {
	setting.Settings
	// AgentNamespace and TargetNamespace are the namespaces of the agents and of the targets.
	AgentNamespace, TargetNamespace string
	// OtherNamespaces stand for further namespaces of a user's own change.
	OtherNamespaces []string
	// Labels are those of everything that is created: only what carries them is ever deleted.
	Labels map[string]string
	// Prefix is what the names of policies begin with, and Scope are further labels that selectors
	// ask for, where namespaces are not the run's alone.
	Prefix string
	Scope  map[string]string
	// APIServers must stay reachable for the agents.
	APIServers []netip.AddrPort
	// From is the role of the pods that probe, AgentPods their names.
	From      string
	AgentPods []string
	// Addresses are the targets' addresses by group, and the agents' under the empty group: those
	// of the family. Policies with address blocks name them.
	Addresses map[string][]netip.Addr
}
