// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/result"
)

// incomparable says what differs between the runs of two sides that must not differ, a sentence each. What one of them
// did not note is not held against it.
func incomparable(earlier, later Side) []string {
	reference := earlier.Sources[0]
	var all []string
	for _, side := range []Side{earlier, later} {
		for _, source := range side.Sources {
			for _, text := range differences(reference.Run, source.Run) {
				all = append(all, fmt.Sprintf("%s and %s: %s", reference.Directory, source.Directory, text))
			}
		}
	}
	return all
}

// differences are those of two runs.
func differences(a, b result.Run) []string {
	var all []string
	if a.Schema != b.Schema {
		all = append(all, fmt.Sprintf("the schema is %d in the one, %d in the other", a.Schema, b.Schema))
	}
	ours, theirs := byScenario(a), byScenario(b)
	names := slices.Sorted(maps.Keys(ours))
	for name := range theirs {
		if ours[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		switch one, other := ours[name], theirs[name]; {
		case one == nil:
			all = append(all, fmt.Sprintf("%s is in the other only", name))
		case other == nil:
			all = append(all, fmt.Sprintf("%s is in the one only", name))
		case len(one) != len(other):
			all = append(all, fmt.Sprintf("%s was run in %d ways in the one, %d in the other", name, len(one), len(other)))
		default:
			for i := range one {
				all = append(all, settingsDiffer(name, one[i].Settings, other[i].Settings)...)
			}
		}
	}
	return all
}

// byScenario are the ways in which each scenario was run, in the order of their settings.
func byScenario(run result.Run) map[string][]result.Scenario {
	all := make(map[string][]result.Scenario)
	for _, one := range run.Scenarios {
		all[one.Scenario] = append(all[one.Scenario], one)
	}
	for _, ways := range all {
		slices.SortStableFunc(ways, func(a, b result.Scenario) int { return strings.Compare(a.Setting, b.Setting) })
	}
	return all
}

// settingsDiffer says in which settings two ways of running a scenario differ. How often it was repeated may.
func settingsDiffer(scenario string, a, b result.Settings) []string {
	var all []string
	for _, one := range []struct {
		name         string
		ours, theirs any
		unknown      bool
	}{
		{"number of targets", a.Targets, b.Targets, false},
		{"number of agents", a.Agents, b.Agents, false},
		{"direction", a.Direction, b.Direction, false},
		{"protocol", a.Protocol, b.Protocol, false},
		{"family", a.Family, b.Family, false},
		{"peer", a.Peer, b.Peer, false},
		{"port", a.Port, b.Port, false},
		{"placement", a.Placement, b.Placement, false},
		{"baseline", a.Baseline, b.Baseline, false},
		{"probe mode", a.Probe, b.Probe, a.Probe == "" || b.Probe == ""},
		{"timeout", a.Timeout, b.Timeout, a.Timeout == 0 || b.Timeout == 0},
	} {
		if one.ours != one.theirs && !one.unknown {
			all = append(all, fmt.Sprintf("the %s of %s is %v in the one, %v in the other", one.name, scenario, one.ours, one.theirs))
		}
	}
	return all
}
