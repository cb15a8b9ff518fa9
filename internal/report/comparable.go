// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// incomparable says what differs between the runs of the first side and all others that must not
// differ, a sentence each. What one of them did not note is not held against it.
func incomparable(sides ...Side) []string {
	reference := sides[0].Sources[0]
	var all []string
	for _, side := range sides {
		for _, source := range side.Sources {
			for _, text := range differences(reference.Settings, reference.Run, source.Run) {
				all = append(all, fmt.Sprintf("%s and %s: %s", reference.Directory,
					source.Directory, text))
			}
		}
	}
	return all
}

// differences are those of two runs.
func differences(fields setting.Table, a, b result.Run) []string {
	var all []string
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
			all = append(all, fmt.Sprintf("%s was run with %d settings in the one, %d in the other",
				name,
				len(one), len(other)))
		default:
			for i := range one {
				found := settingsDiffer(fields, name, one[i].Settings, other[i].Settings)
				all = append(all, found...)
			}
		}
	}

	return all
}

// byScenario are the entries of each scenario, in the order of their settings.
func byScenario(run result.Run) map[string][]result.Scenario {
	all := make(map[string][]result.Scenario)
	for _, one := range run.Scenarios {
		all[one.Scenario] = append(all[one.Scenario], one)
	}
	for _, one := range all {
		slices.SortStableFunc(one, func(a, b result.Scenario) int {
			return strings.Compare(a.Setting, b.Setting)
		})
	}
	return all
}

// settingsDiffer says in which settings two runs of a scenario differ, but for those that
// may.
func settingsDiffer(fields setting.Table, scenario string, a, b setting.Record) []string {
	var all []string
	for _, f := range fields {
		ours, known := f.Recall(a)
		theirs, alsoKnown := f.Recall(b)
		both := known && alsoKnown || f.Optional
		if both && ours != theirs && !f.Incidental {
			all = append(all, fmt.Sprintf("the %s of %s is %v in the one, %v in the other",
				f.Title, scenario, ours, theirs))
		}
	}
	return all
}
