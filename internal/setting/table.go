// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package setting

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// MaxTargets is the largest number of targets: what one agent's memory and one list of pods can
// bear.
const MaxTargets = 10_000

// Table is a list of settings. Labels name them in its order.
type Table []Field

// ProbeModes are all probe modes, with what they do.
func ProbeModes() []Choice {
	return append(runModes(),
		Choice{ProbeEstablished, "requests on a connection that stays open"})
}

// runModes are the probe modes that can be chosen for a run: those that its targets answer. The
// scenario "established" has a mode of its own.
func runModes() []Choice {
	return []Choice{
		{ProbeConnect, "open a TCP connection and reset it"},
		{"http", "any response to a GET"},
		{ProbeUDP, "a datagram that the target sends back"},
		{ProbeSCTP, "open an SCTP association and abort it"},
		{ProbeSYN, "TCP segments of its own, needs NET_RAW"},
		{ProbeAuto, "syn if the process may and it works, else connect"},
	}
}

// All is the table of every setting.
func All() Table {
	return slices.Concat(policies(), amounts(), probing(), load(), disruption(), Pods(), own())
}

// policies are the settings of how policies are written, and where the pods are.
func policies() Table {
	return Table{
		at(func(s *Settings) *string { return &s.Direction }, Field{
			Name: "direction", Title: "direction", Default: Egress, Phrase: "%s",
			Usage: "side of the policies: egress or ingress",
			Choices: []Choice{
				{Egress, "policies of the pods that connect"},
				{Ingress, "policies of the targets"},
			},
		}),
		at(func(s *Settings) *string { return &s.Family }, Field{
			Name: "family", Title: "family", Default: IPv4, Phrase: "%s",
			Usage:   "IPv4 or IPv6 (default what the cluster prefers)",
			Choices: []Choice{{Value: IPv4}, {Value: IPv6}},
		}),
		at(func(s *Settings) *string { return &s.Protocol }, Field{
			Name: "protocol", Title: "protocol", Default: TCP, Phrase: "%s",
			Usage:   "TCP, UDP, or SCTP where the nodes have it",
			Choices: []Choice{{Value: TCP}, {Value: UDP}, {Value: SCTP}},
		}),
		at(func(s *Settings) *string { return &s.Peer }, Field{
			Name: "peer", Title: "peer", Default: PeerPod, Phrase: "%s",
			Usage: "peers of the policies: podSelector, namespaceSelector, ipBlock\n" +
				"or ipBlockExcept",
			Choices: []Choice{
				{PeerPod, "pods by their labels"},
				{PeerNamespace, "namespaces by their labels"},
				{PeerBlock, "blocks of addresses"},
				{PeerBlockExcept, "a block with an exception"},
			},
		}),
		at(func(s *Settings) *string { return &s.Port }, Field{
			Name: "port", Title: "port", Default: PortNumber, Phrase: "port by %s",
			Usage: "ports of the policies: number, name or range",
			Choices: []Choice{
				{PortNumber, "a port by its number"},
				{PortByName, "a port of the pod by its name"},
				{PortRange, "a port and an end port"},
			},
		}),
		at(func(s *Settings) *string { return &s.Placement }, Field{
			Name: "placement", Title: "placement", Default: PlaceAny, Phrase: "%s",
			Usage: "nodes of the targets: any, same-node or other-node, relative\nto the agents",
			Choices: []Choice{
				{PlaceAny, "where the scheduler puts them"},
				{PlaceSame, "on the node of the agents"},
				{PlaceOther, "on other nodes than the agents"},
			},
		}),
	}
}

// amounts are the settings of how much is measured, and for how long.
func amounts() Table {
	return Table{
		at(func(s *Settings) *int { return &s.Targets }, Field{
			Name: "targets", Title: "number of targets", Default: 20, Phrase: "%s targets",
			Usage: "number of targets", Range: whole(1, MaxTargets),
		}),
		at(func(s *Settings) *int { return &s.Agents }, Field{
			Name: "agents", Title: "number of agents", Default: 1, Phrase: "%s agents",
			Usage: "number of agents that share the pairs", Range: whole(1, 1000),
		}),
		at(func(s *Settings) *bool { return &s.Baseline }, Field{
			Name: "baseline", Title: "baseline", Default: false, Phrase: "baseline",
			Usage: "pod-creation without policies", Range: Range{Want: "true or false"},
		}),
		at(func(s *Settings) *string { return &s.Skip }, Field{
			Name: "skip", Title: "skipped part", Default: "", Optional: true, Incidental: true,
			Usage: "part of a scenario to leave out: policy-update/peer, where\n" +
				"the network's address blocks hold no pods",
			Choices: []Choice{{SkipPeer, "an update whose peers are address blocks"}},
		}),
		at(func(s *Settings) *int { return &s.Repeat }, Field{
			Name: "repeat", Title: "number of iterations", Default: 1, Incidental: true,
			Usage: "iterations of each scenario", Range: whole(1, 100_000),
		}),
		at(func(s *Settings) *time.Duration { return &s.Timeout }, Field{
			Name: "timeout", Title: "timeout", Default: DefaultTimeout,
			Usage: "how long a change may take to show on all pairs", Range: positiveDuration(),
		}),
		at(func(s *Settings) *time.Duration { return &s.SetupTimeout }, Field{
			Name: "patience", Title: "setup timeout", Default: 2 * time.Minute, Incidental: true,
			Usage: "how long everything else may take, for example\npods to start",
			Range: positiveDuration(),
		}),
	}
}

// probing are the settings of how agents probe.
func probing() Table {
	return Table{
		at(func(s *Settings) *string { return &s.Probe }, Field{
			Name: "probe", Title: "probe mode", Default: "", Usual: usualProbe,
			Usage: "probe mode: connect, http, udp, sctp, or syn or auto, for\n" +
				"which the agents get NET_RAW (default connect, udp or sctp,\n" +
				"by the protocol)",
			Choices: runModes(),
		}),
		at(func(s *Settings) *int { return &s.Confirm }, Field{
			Name: "confirm", Title: "confirming probes", Default: measure.DefaultConfirm,
			Agent: true,
			Usage: "probes in a row that must agree on a new state", Range: whole(1, 1000),
		}),
		at(func(s *Settings) *time.Duration { return &s.Hold }, Field{
			Name: "hold", Title: "hold", Default: 300 * time.Millisecond, Agent: true,
			Usage: "how long a pair is watched after its change", Range: anyDuration(),
		}),
		at(func(s *Settings) *int { return &s.TolerateLosses }, Field{
			Name: "tolerate-losses", Title: "tolerated losses", Default: 0, Agent: true,
			Phrase: "%s tolerated losses",
			Usage: "probes in a row that the network may lose without making\n" +
				"a result wrong; widens brackets by as many intervals",
			Range: whole(0, measure.MaxLosses),
		}),
		at(func(s *Settings) *float64 { return &s.ProbeRate }, Field{
			Name: "max-probe-rate", Title: "most probes a second", Default: 0., Agent: true,
			Usage: "most probes a second of an agent (default that of the mode)", Range: anyRate(),
		}),
		at(func(s *Settings) *time.Duration { return &s.Watch }, Field{
			Name: "watch", Title: "watch", Default: DefaultWatch,
			Usage: "how long a starting pod probes what it must not reach", Range: anyDuration(),
		}),
		at(func(s *Settings) *string { return &s.Clock }, Field{
			Name: "clock", Title: "clock", Default: ClockAuto,
			Usage: "auto, or exchange to measure the agents' clocks\neven on one kernel",
			Choices: []Choice{
				{ClockAuto, "none on one kernel, else by exchange"},
				{ClockExchange, "measure the difference of the clocks always"},
			},
		}),
	}
}

// usualProbe is the mode that suits the protocol. None, and that of the scenario "established",
// were not chosen by anybody.
func usualProbe(s Settings) any {
	if s.Probe == "" || s.Probe == ProbeEstablished {
		return s.Probe
	}
	return s.UsualProbe()
}

// load are the settings of what else goes on in the cluster.
func load() Table {
	return Table{
		at(func(s *Settings) *float64 { return &s.CreateRate }, Field{
			Name: "churn", Title: "pods created a second", Default: 100.,
			Usage: "pods a second that pod-creation creates", Range: positiveRate(),
		}),
		at(func(s *Settings) *time.Duration { return &s.ChurnFor }, Field{
			Name: "churn-duration", Title: "churn duration", Default: time.Duration(0),
			Usage: "create pods for so long, and delete each when it was measured\n" +
				"(default: as many pods as targets)",
			Range: anyDuration(),
		}),
		at(func(s *Settings) *int { return &s.BackgroundPolicies }, Field{
			Name: "background-policies", Title: "background policies", Default: 0,
			Phrase: "%s background policies",
			Usage:  "further policies that select the targets", Range: whole(0, 100_000),
		}),
		at(func(s *Settings) *float64 { return &s.BackgroundRate }, Field{
			Name: "background-qps", Title: "changes of background policies a second", Default: 0.,
			Usage: "changes a second of these policies", Range: anyRate(),
		}),
	}
}

// disruption are the settings of what happens in the scenario "disruption".
func disruption() Table {
	return Table{
		at(func(s *Settings) *string { return &s.Disruption.Event }, Field{
			Name: "event", Title: "event", Default: "", Optional: true, Phrase: "event %s",
			Brief: true,
			Usage: "disruption: command for a shell of this machine, in the\n" +
				"middle of the watch",
			Range: anyText("a command"),
		}),
		at(func(s *Settings) *string { return &s.Disruption.Restart }, Field{
			Name: "restart", Title: "restart", Default: "", Optional: true,
			Phrase: "restart of %s",
			Usage:  "disruption: what is rolled out anew: daemonset/NAME",
			Range:  anyText("daemonset/NAME, for example daemonset/cilium"),
		}),
		at(func(s *Settings) *string { return &s.Disruption.Namespace }, Field{
			Name: "restart-in", Title: "namespace of what is restarted",
			Default: "kube-system", Optional: true, Incidental: true,
			Usage: "disruption: namespace of --restart", Range: anyText("a namespace"),
		}),
		at(func(s *Settings) *time.Duration { return &s.Disruption.For }, Field{
			Name: "for", Title: "soak", Default: time.Duration(0), Optional: true,
			Phrase: "for %s",
			Usage:  "disruption: nothing happens for so long, for example 10m",
			Range:  anyDuration(),
		}),
		at(func(s *Settings) *time.Duration { return &s.Disruption.Settle }, Field{
			Name: "settle", Title: "settling time", Default: DefaultSettle, Optional: true,
			Incidental: true,
			Usage:      "disruption: how long pairs are watched before the event\nand after it",
			Range:      anyDuration(),
		}),
		at(func(s *Settings) *bool { return &s.Disruption.PerNode }, Field{
			Name: "per-node", Title: "per node", Default: false, Optional: true,
			Phrase: "per node", Range: Range{Want: "true or false"},
			Usage: "disruption: an agent and a target on every node",
		}),
	}
}

// Pods are the settings of what a cluster, or its admission, wants of pods and namespaces.
func Pods() Table {
	return Table{
		at(func(s *Settings) *string { return &s.Tolerations }, Field{
			Name: "toleration", Title: "tolerations", Default: "", List: true,
			Usage: "taint that the pods tolerate (repeatable):\nKEY[=VALUE][:EFFECT]",
			Range: Range{Want: "KEY[=VALUE][:EFFECT], for example dedicated=tests:NoSchedule"},
		}),
		at(func(s *Settings) *string { return &s.NodeSelector }, Field{
			Name: "node-selector", Title: "node selector", Default: "", List: true,
			Usage: "label of the nodes for the pods: KEY=VALUE (repeatable)",
			Range: Range{Want: "KEY=VALUE, for example pool=tests"},
		}),
		at(func(s *Settings) *string { return &s.Limits }, Field{
			Name: "limits", Title: "limits", Default: "", List: true,
			Usage: "limits of each container, for example cpu=1,memory=256Mi",
			Range: Range{Want: "RESOURCE=QUANTITY, for example cpu=1,memory=256Mi"},
		}),
		at(func(s *Settings) *string { return &s.PriorityClass }, Field{
			Name: "priority-class", Title: "priority class", Default: "",
			Usage: "priority class of the pods", Range: Range{Want: "the name of a priority class"},
		}),
		at(func(s *Settings) *string { return &s.PullSecrets }, Field{
			Name: "image-pull-secret", Title: "image pull secrets", Default: "", List: true,
			Incidental: true,
			Usage: "secret for pulling the images, [NAMESPACE/]NAME, which is\n" +
				"copied into the namespaces of the run (repeatable)",
			Range: Range{Want: "[NAMESPACE/]NAME of a secret"},
		}),
		at(func(s *Settings) *string { return &s.Labels }, Field{
			Name: "label", Title: "labels", Default: "", List: true, Incidental: true,
			Usage: "further label of everything that is created: KEY=VALUE\n(repeatable)",
			Range: Range{Want: "KEY=VALUE, for example team=network"},
		}),
		at(func(s *Settings) *string { return &s.Annotations }, Field{
			Name: "annotation", Title: "annotations", Default: "", List: true, Incidental: true,
			Usage: "further annotation of everything that is created:\nKEY=VALUE (repeatable)",
			Range: Range{Want: "KEY=VALUE, for example owner=network"},
		}),
		at(func(s *Settings) *string { return &s.PodPatch }, Field{
			Name: "pod-patch", Title: "patch of the pods", Default: "", File: true,
			Usage: "strategic merge patch of every pod, a file or inline,\n" +
				`for example '{"spec":{"hostUsers":false}}'`,
			Range: Range{Want: "a YAML or JSON object, or the name of a file with one"},
		}),
		at(func(s *Settings) *string { return &s.NamespacePatch }, Field{
			Name: "namespace-patch", Title: "patch of the namespaces", Default: "", File: true,
			Incidental: true,
			Usage:      "strategic merge patch of the namespaces, a file or inline",
			Range:      Range{Want: "a YAML or JSON object, or the name of a file with one"},
		}),
	}
}

// own are the settings of a change of the user's own.
func own() Table {
	const labels = "labels, for example app=web,tier=front"
	all := Table{
		at(func(s *Settings) *string { return &s.Own.Policy }, Field{
			Name: "policy", Title: "policy file", Phrase: "%s", Range: anyText("a file"),
			Usage: "measure the objects in this file as the trigger: a file, a\n" +
				"directory, an address, or - for standard input, as for\n" +
				"\"kubectl apply -f\". Which pods they are about is read off\n" +
				"NetworkPolicies, and said as the flags that change it",
		}),
		at(func(s *Settings) *string { return &s.Own.From }, Field{
			Name: "from", Title: "labels of the agents", Range: anyText(labels),
			Usage: "labels of the agents, for --policy to select, for example\napp=web",
		}),
		at(func(s *Settings) *string { return &s.Own.To }, Field{
			Name: "to", Title: "labels of the targets", Range: anyText(labels),
			Usage: "labels of the targets, for example app=db",
		}),
		at(func(s *Settings) *string { return &s.Own.ToPort }, Field{
			Name: "to-port", Title: "port of the targets", Range: port(),
			Usage: "port of the targets with its name if it has one, for example\n5432=postgres",
		}),
		at(func(s *Settings) *string { return &s.Own.Expect }, Field{
			Name: "expect", Title: "expected state",
			Usage:   "what the change brings about: allowed or blocked",
			Choices: []Choice{{Value: ExpectAllowed}, {Value: ExpectBlocked}},
		}),
		at(func(s *Settings) *string { return &s.Own.FromNamespace }, Field{
			Name: "from-namespace", Title: "namespace of the agents",
			Range: anyText("a name, or labels, or both, for example monitoring,team=red"),
			Usage: "name of a new namespace for the agents, or labels of the\n" +
				"run's own, or both, for example monitoring,team=red",
		}),
		at(func(s *Settings) *string { return &s.Own.ToNamespace }, Field{
			Name: "to-namespace", Title: "namespace of the targets",
			Range: anyText("a name, or labels, or both, for example shop,team=blue"),
			Usage: "name of a new namespace for the targets, or labels of the\n" +
				"run's own, or both",
		}),
		at(func(s *Settings) *bool { return &s.Own.SameNamespace }, Field{
			Name: "same-namespace", Title: "same namespace", Default: false,
			Phrase: "same namespace", Range: Range{Want: "true or false"},
			Usage: "agents and targets are in one namespace",
		}),
	}

	all = append(all, triggers()...)
	for i := range all {
		all[i].Optional = true
		if all[i].Default == nil {
			all[i].Default = ""
		}
	}
	return all
}

// triggers are the settings of what a change of the user's own does with its objects.
func triggers() Table {
	return Table{
		at(func(s *Settings) *string { return &s.Own.Before }, Field{
			Name: "before", Title: "file of what is before", Range: anyText("a file"),
			Usage: "objects that are in force before the trigger, in place of\n" +
				"no policy or isolation",
		}),
		at(func(s *Settings) *bool { return &s.Own.Delete }, Field{
			Name: "delete", Title: "deleted", Default: false, Phrase: "deleted",
			Usage: "the trigger deletes the objects of --policy, which are in\nforce before",
			Range: Range{Want: "true or false"},
		}),
		at(func(s *Settings) *string { return &s.Own.Replace }, Field{
			Name: "replace", Title: "file of what replaces it", Phrase: "replaced by %s",
			Usage: "the trigger replaces the objects of --policy by those of\nthis file",
			Range: anyText("a file"),
		}),
	}
}

// ForAgents are the settings that agents are told.
func (t Table) ForAgents() Table {
	return slices.DeleteFunc(slices.Clone(t), func(f Field) bool { return !f.Agent })
}

// Defaults are the settings of a run that says nothing.
func (t Table) Defaults() Settings {
	var s Settings
	for _, f := range t {
		f.With(&s, f.Default)
	}
	return s
}

// Find is the field of a name. The error lists the names, and others that are allowed.
func (t Table) Find(name string) (Field, error) {
	if at := slices.IndexFunc(t, func(f Field) bool { return f.Name == name }); at >= 0 {
		return t[at], nil
	}
	return Field{}, OneOf("unknown key", name, t.Names()...)
}

// Names are those of the fields.
func (t Table) Names() []string {
	var all []string
	for _, f := range t {
		all = append(all, f.Name)
	}
	return all
}

// Label says in what settings differ from the defaults; empty if in nothing that matters to a
// result.
func (t Table) Label(s Settings) string {
	var all []string
	for _, f := range t {
		usual := f.Default
		if f.Usual != nil {
			usual = f.Usual(s)
		}
		switch value := f.Value(s); {
		case f.Incidental || value == usual:
		default:
			phrase := cmp.Or(f.Phrase, f.Name+" %s")
			all = append(all, strings.ReplaceAll(phrase, "%s", f.labelText(s)))
		}
	}

	return strings.Join(all, ", ")
}
