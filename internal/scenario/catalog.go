// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"strings"
)

// All lists every scenario in the order in which they are explained.
func All() []Scenario {
	return []Scenario{
		podCreation(), policyCreation(), policyDeny(), policyDeletion(), policyUpdate(),
		podLabel(), namespaceLabel(), podStartup(), established(),
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
	return Scenario{}, fmt.Errorf("unknown scenario %q: expected one of %s", name, strings.Join(known, ", "))
}
