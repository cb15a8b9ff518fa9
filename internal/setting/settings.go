// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package setting has the settings of a run: what they are called, which values they take, and what
// they are by default. [All] is the one table of them. Flags and their completion, the keys of
// suites, --set, what run.json notes, which runs can be compared, and the table of settings in the
// HTML report are loops over such a table.
package setting

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The directions: on which side of a pair the policy is.
const (
	Egress  = "egress"
	Ingress = "ingress"
)

// The protocols of the policies and of the probes.
const (
	TCP  = "TCP"
	UDP  = "UDP"
	SCTP = "SCTP"
)

// The IP families.
const (
	IPv4 = "IPv4"
	IPv6 = "IPv6"
)

// The kinds of peers that the policies name.
const (
	PeerPod         = "podSelector"
	PeerNamespace   = "namespaceSelector"
	PeerBlock       = "ipBlock"
	PeerBlockExcept = "ipBlockExcept"
)

// SkipPeer is the part whose change names pods by their addresses.
const SkipPeer = "policy-update/peer"

// The kinds of ports that the policies name.
const (
	PortNumber = "number"
	PortByName = "name"
	PortRange  = "range"
)

// The placements of targets relative to the agents.
const (
	PlaceAny   = "any"
	PlaceSame  = "same-node"
	PlaceOther = "other-node"
)

// How the difference between the runner's clock and an agent's is known.
const (
	ClockAuto     = "auto"     // none on one kernel, else by exchange
	ClockExchange = "exchange" // always by exchange
)

// The probe modes that a run knows by name; [ProbeModes] has all.
const (
	ProbeConnect     = "connect"
	ProbeUDP         = "udp"
	ProbeSCTP        = "sctp"
	ProbeSYN         = "syn"
	ProbeAuto        = "auto"
	ProbeEstablished = "established"
)

// The defaults that other commands share with a run.
const (
	DefaultTimeout = time.Minute
	DefaultWatch   = time.Second
	DefaultSettle  = 5 * time.Second
)

// Settings are how a scenario is run. The table has what each of them means.
type Settings struct {
	Direction, Family, Protocol, Peer, Port string
	Placement                               string
	Targets, Agents                         int
	Baseline                                bool
	// Skip is the part of a scenario that is left out, empty for none.
	Skip   string
	Repeat int
	// Timeout is for a trigger to show on all pairs, SetupTimeout for everything else.
	Timeout, SetupTimeout time.Duration
	// Probe is the probe mode, empty for the one that suits the protocol.
	Probe   string
	Confirm int
	Hold    time.Duration
	// TolerateLosses is how many probes in a row may be lost without making a result wrong.
	TolerateLosses int
	ProbeRate      float64
	Watch          time.Duration
	// CreateRate is how many pods are created a second, and ChurnFor for how long; zero creates
	// each target once.
	CreateRate         float64
	ChurnFor           time.Duration
	BackgroundPolicies int
	BackgroundRate     float64
	Clock              string
	// Own is a change of the user's own, in place of a scenario's.
	Own Change
	// Disruption is what happens in the place of a change.
	Disruption Disruption

	// What a cluster wants of pods and namespaces: lists in the notation of [Items], and patches as
	// YAML or JSON.
	Tolerations, NodeSelector, Limits, PriorityClass, PullSecrets string
	Labels, Annotations                                           string
	PodPatch, NamespacePatch                                      string

	// given are the settings that somebody has chosen, by name, whatever their values are.
	given map[string]bool
	// more are the values of fields that a table has beyond those above, by name.
	more map[string]any
}

// Change is a change of the user's own: files with objects, and what is to be known of the pods
// that they are about. What is empty is read off the objects.
type Change struct {
	// Policy is the file with the objects that are measured, Before one with what is in force
	// before, and Replace one with what takes the place of the first.
	Policy, Before, Replace string
	// Delete says that the trigger deletes the objects, which are there before.
	Delete bool
	// From and To are labels of the agents' and of the targets' pods.
	From, To string
	// FromNamespace and ToNamespace are names or labels of the namespaces of these.
	FromNamespace, ToNamespace string
	SameNamespace              bool
	// ToPort is the port that the targets serve, as [ParsePort] reads it.
	ToPort string
	Expect string
}

// Disruption is something that happens and must change nothing.
type Disruption struct {
	// Event is a command for a shell, Restart a workload of Namespace that is rolled out anew, and
	// For how long nothing is done: one of them.
	Event, Restart, Namespace string
	For                       time.Duration
	// Settle is how long pairs are watched before it and after it.
	Settle time.Duration
	// PerNode puts an agent and a target on every node.
	PerNode bool
}

// Events are the flags of what happens.
func (d Disruption) Events() []string {
	var all []string
	for flag, given := range map[string]bool{
		"event": d.Event != "", "restart": d.Restart != "", "for": d.For > 0,
	} {
		if given {
			all = append(all, flag)
		}
	}
	return all
}

// ParseRestart reads what is restarted, such as daemonset/cilium.
func ParseRestart(text string) (name string, ok bool) {
	kind, name, ok := strings.Cut(text, "/")
	return name, ok && kind == "daemonset" && name != "" && !strings.Contains(name, "/")
}

// The states that a change of the user's own can bring about.
const (
	ExpectAllowed = "allowed"
	ExpectBlocked = "blocked"
)

// Given reports whether somebody has chosen a setting, be it the default.
func (s Settings) Given(name string) bool { return s.given[name] }

// ParsePort reads a port and, behind an equals sign, its name: 5432 or 5432=postgres.
func ParsePort(text string) (number int, name string, ok bool) {
	digits, name, named := strings.Cut(text, "=")
	number, err := strconv.Atoi(digits)
	return number, name, err == nil && 1 <= number && number <= 65535 && named == (name != "")
}

// Validate reports settings that exclude each other.
func (s Settings) Validate() error {
	var background, probe error
	if s.BackgroundRate > 0 && s.BackgroundPolicies == 0 {
		background = errors.New("--background-qps changes background policies: " +
			"expected --background-policies of 1 or more with it")
	}

	if sends := protocolOf(s.Probe); s.Probe != "" && sends != s.Protocol {
		probe = fmt.Errorf("probe mode %q sends %s: expected protocol %s with it, or mode %s",
			s.Probe, sends, sends, s.UsualProbe())
	}
	return errors.Join(background, probe)
}

// UsualProbe is the probe mode that suits the protocol.
func (s Settings) UsualProbe() string {
	switch s.Protocol {
	case UDP:
		return ProbeUDP
	case SCTP:
		return ProbeSCTP
	}
	return ProbeConnect
}

// protocolOf is the protocol that a probe mode sends.
func protocolOf(mode string) string {
	switch mode {
	case ProbeUDP:
		return UDP
	case ProbeSCTP:
		return SCTP
	}
	return TCP
}
