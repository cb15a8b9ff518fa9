// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import "context"

// Scenario is what a client measures.
type Scenario struct {
	// Name is the scenario's name in records and metrics, Program the name of its drop-in binary.
	Name    string
	Program string
	// Summary is one sentence for the help text.
	Summary string

	measures    string // what the original's log says is measured
	needsPolicy bool
	run         func(ctx context.Context, env *environment) error
}

// PodCreation measures how long a new pod is unreachable after it got its address.
func PodCreation() Scenario {
	return Scenario{
		Name:    "pod-creation",
		Program: "pod-creation-reachability-latency",
		Summary: "Measures how long after a new pod got its address this client can reach it.",

		measures: "pod creation reachability latency",
		run:      runPodCreation,
	}
}

// PolicyCreation measures how long after the creation of an allowing policy targets are reachable.
func PolicyCreation() Scenario {
	return Scenario{
		Name:    "policy-creation",
		Program: "policy-creation-enforcement-latency",
		Summary: "Measures how long after the creation of a network policy that allows it " +
			"this client\ncan reach targets that were denied before.",

		measures:    "network policy enforcement latency on network policy creation",
		needsPolicy: true,
		run:         runPolicyCreation,
	}
}

func (s Scenario) example() []string {
	lines := []string{
		s.Program + " -HostNamespace=default",
		"-TargetNamespace=test-policy -TargetLabelSelector=target=test-policy -TargetPort=80",
	}
	if s.needsPolicy {
		lines = append(lines, "-AllowPolicyName=allow-egress-to-target")
	}
	return append(lines, "-MaxTargets=20 -MetricsPort=9160")
}
