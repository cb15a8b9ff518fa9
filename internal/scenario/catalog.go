// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import "github.com/netpol-latency/netpol-latency/internal/setting"

// All lists every scenario in the order in which they are explained.
func All() []Scenario {
	return []Scenario{
		podCreation(), policyCreation(), policyDeny(), policyDeletion(), policyUpdate(),
		podLabel(), namespaceLabel(), podStartup(), established(), disruption(),
	}
}

// Defaults are the scenarios that are measured when none is named.
func Defaults() []string { return []string{"pod-creation", "policy-creation"} }

// Find is the scenario of a name.
func Find(name string) (Scenario, error) {
	var known []string
	for _, one := range All() {
		if one.Name == name {
			return one, nil
		}
		known = append(known, one.Name)
	}
	return Scenario{}, setting.OneOf("unknown scenario", name, known...)
}
