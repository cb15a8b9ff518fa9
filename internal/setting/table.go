// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package setting

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// MaxTargets is the largest number of targets: what one agent's memory and one list of pods can bear.
const MaxTargets = 10_000

// Table is a list of settings. Labels name them in its order.
type Table []Field

// ProbeModes are all probe modes, with what they do.
func ProbeModes() []Choice {
	return append(runModes(),
		Choice{"sctp", "open an SCTP association and abort it"},
		Choice{ProbeEstablished, "requests on a connection that stays open"})
}

// runModes are the probe modes that can be chosen for a run: those that its targets answer. The scenario
// "established" has a mode of its own.
func runModes() []Choice {
	return []Choice{
		{ProbeConnect, "open a TCP connection and reset it"},
		{"http", "any response to a GET"},
		{ProbeUDP, "a datagram that the target sends back"},
		{ProbeSYN, "crafted TCP segments, needs NET_RAW"},
		{ProbeAuto, "syn if the process may and it works, else connect"},
	}
}

// All is the table of every setting.
func All() Table { return slices.Concat(policies(), amounts(), probing(), load()) }

// policies are the settings of how policies are written, and where the pods are.
func policies() Table {
	return Table{
		choice("direction", "direction", Egress, "side of the policies: egress or ingress",
			func(s *Settings) *string { return &s.Direction },
			Choice{Egress, "policies of the pods that connect"}, Choice{Ingress, "policies of the targets"}),
		choice("family", "family", IPv4, "IPv4 or IPv6",
			func(s *Settings) *string { return &s.Family }, Choice{IPv4, ""}, Choice{IPv6, ""}),
		choice("protocol", "protocol", TCP, "TCP or UDP",
			func(s *Settings) *string { return &s.Protocol }, Choice{TCP, ""}, Choice{UDP, ""}),
		choice("peer", "peer", PeerPod, "peers of the policies: podSelector, namespaceSelector, ipBlock\nor ipBlockExcept",
			func(s *Settings) *string { return &s.Peer },
			Choice{PeerPod, "pods by their labels"}, Choice{PeerNamespace, "namespaces by their labels"},
			Choice{PeerBlock, "blocks of addresses"}, Choice{PeerBlockExcept, "a block with an exception"}),
		choice("port", "port", PortNumber, "ports of the policies: number, name or range",
			func(s *Settings) *string { return &s.Port },
			Choice{PortNumber, "a port by its number"}, Choice{PortByName, "a port of the pod by its name"},
			Choice{PortRange, "a port and an end port"}).saying("port by %s"),
		choice("placement", "placement", PlaceAny, "nodes of the targets: any, same-node or other-node, relative\nto the agents",
			func(s *Settings) *string { return &s.Placement },
			Choice{PlaceAny, "where the scheduler puts them"}, Choice{PlaceSame, "on the node of the agents"},
			Choice{PlaceOther, "on other nodes than the agents"}),
	}
}

// amounts are the settings of how much is measured, and for how long.
func amounts() Table {
	return Table{
		count("targets", "number of targets", 20, 1, MaxTargets, "number of targets",
			func(s *Settings) *int { return &s.Targets }).saying("%s targets"),
		count("agents", "number of agents", 1, 1, 1000, "number of agents that share the pairs",
			func(s *Settings) *int { return &s.Agents }).saying("%s agents"),
		flag("baseline", "baseline", "pod-creation without policies", func(s *Settings) *bool { return &s.Baseline }),
		count("repeat", "number of iterations", 1, 1, 100_000, "iterations of each scenario",
			func(s *Settings) *int { return &s.Repeat }).incidental(),
		positive("timeout", "timeout", DefaultTimeout, "how long a change may take to show on all pairs",
			func(s *Settings) *time.Duration { return &s.Timeout }),
		positive("patience", "setup timeout", 2*time.Minute, "how long everything else may take, for example\npods to start",
			func(s *Settings) *time.Duration { return &s.Patience }).incidental(),
	}
}

// probing are the settings of how agents probe.
func probing() Table {
	probe := choice("probe", "probe mode", "",
		"probe mode: connect, http, udp, or syn or auto, for which\nthe agents get NET_RAW (default connect, or udp)",
		func(s *Settings) *string { return &s.Probe }, runModes()...).saying("probe %s")
	probe.Usual = func(s Settings) any {
		if s.Probe == "" || s.Probe == ProbeEstablished { // nobody chose it
			return s.Probe
		}
		return s.UsualProbe()
	}
	return Table{
		probe,
		count("confirm", "confirming probes", measure.DefaultConfirm, 1, 1000, "probes in a row that must agree on a new state",
			func(s *Settings) *int { return &s.Confirm }),
		duration("hold", "hold", 300*time.Millisecond, "how long a pair is watched after its transition",
			func(s *Settings) *time.Duration { return &s.Hold }),
		rate("max-probe-rate", "most probes a second", 0, "most probes a second of an agent (default that of the mode)",
			func(s *Settings) *float64 { return &s.ProbeRate }),
		duration("watch", "watch", DefaultWatch, "how long a starting pod probes what it must not reach",
			func(s *Settings) *time.Duration { return &s.Watch }),
		choice("clock", "clock", ClockAuto, "auto, or exchange to measure the agents' clocks\neven on one kernel",
			func(s *Settings) *string { return &s.Clock },
			Choice{ClockAuto, "none on one kernel, else by exchange"},
			Choice{ClockExchange, "measure the difference of the clocks always"}).saying("clock %s"),
	}
}

// load are the settings of what the cluster does besides.
func load() Table {
	churn := rate("churn", "pods created a second", 100, "pods a second that pod-creation creates",
		func(s *Settings) *float64 { return &s.CreateRate })
	churn.Want, churn.Valid = "a number of more than 0, for example 50", func(v any) bool { return v.(float64) > 0 }
	return Table{
		churn,
		duration("churn-duration", "churn duration", 0,
			"create pods for so long, and delete each when it was measured\n(default: as many pods as targets)",
			func(s *Settings) *time.Duration { return &s.ChurnFor }),
		count("background-policies", "background policies", 0, 0, 100_000, "further policies that select the targets",
			func(s *Settings) *int { return &s.BackgroundPolicies }).saying("%s background policies"),
		rate("background-qps", "changes of background policies a second", 0, "changes a second of these policies",
			func(s *Settings) *float64 { return &s.BackgroundRate }),
	}
}

// at is a field of the settings that has its place in their type.
func at[T any](f Field, of func(*Settings) *T) Field {
	f.Get = func(s Settings) any { return *of(&s) }
	f.Set = func(s *Settings, value any) { *of(s) = value.(T) }
	return f
}

func choice(name, title, usual, usage string, of func(*Settings) *string, known ...Choice) Field {
	return at(Field{Name: name, Title: title, Usage: usage, Default: usual, Choices: known}, of).saying("%s")
}

func count(name, title string, usual, least, most int, usage string, of func(*Settings) *int) Field {
	return at(Field{
		Name: name, Title: title, Usage: usage, Default: usual,
		Want:  fmt.Sprintf("a whole number from %d to %d", least, most),
		Valid: func(value any) bool { return value.(int) >= least && value.(int) <= most },
	}, of)
}

func flag(name, title, usage string, of func(*Settings) *bool) Field {
	return at(Field{Name: name, Title: title, Usage: usage, Default: false, Want: "true or false"}, of).saying(name)
}

func duration(name, title string, usual time.Duration, usage string, of func(*Settings) *time.Duration) Field {
	return at(Field{
		Name: name, Title: title, Usage: usage, Default: usual,
		Want:  "a duration of 0 or more with a unit, for example 300ms",
		Valid: func(value any) bool { return value.(time.Duration) >= 0 },
	}, of)
}

func positive(name, title string, usual time.Duration, usage string, of func(*Settings) *time.Duration) Field {
	f := duration(name, title, usual, usage, of)
	f.Want = "a duration of more than 0 with a unit, for example 1m30s"
	f.Valid = func(value any) bool { return value.(time.Duration) > 0 }
	return f
}

func rate(name, title string, usual float64, usage string, of func(*Settings) *float64) Field {
	return at(Field{
		Name: name, Title: title, Usage: usage, Default: usual, Want: "a number of 0 or more, for example 50",
		Valid: func(value any) bool { return value.(float64) >= 0 },
	}, of)
}

// saying is the field with another phrase for labels, in which %s stands for the value.
func (f Field) saying(phrase string) Field {
	f.Phrase = func(text string) string { return strings.ReplaceAll(phrase, "%s", text) }
	return f
}

func (f Field) incidental() Field {
	f.Incidental = true
	return f
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

// Label says in what settings differ from the defaults; empty if in nothing that matters to a result.
func (t Table) Label(s Settings) string {
	var all []string
	for _, f := range t {
		usual := f.Default
		if f.Usual != nil {
			usual = f.Usual(s)
		}
		switch value := f.Value(s); {
		case f.Incidental || value == usual:
		case f.Phrase != nil:
			all = append(all, f.Phrase(text(value)))
		default:
			all = append(all, f.Name+" "+text(value))
		}
	}
	return strings.Join(all, ", ")
}
