// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

func established() Scenario {
	s := policyDeny()
	s.Name = "established"
	s.Summary = "A policy that isolates is created: when are existing connections cut?"
	s.Detail = "Each agent holds a connection to each target and asks on it. Kubernetes leaves " +
		"open whether a policy\n" +
		"cuts existing connections: a pair that is never cut is censored."
	s.Connections = true
	return s
}
