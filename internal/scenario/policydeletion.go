// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

func policyDeletion() Scenario {
	return Scenario{
		Name:    "policy-deletion",
		Summary: "A policy is deleted: first one that allows, then the one that isolates.",
		Detail: "policy-deletion/allow: until the traffic is blocked. " +
			"policy-deletion/isolation: until it is allowed again.",
		Groups: onlyA,
		Setup: func(w Parameters) [][]runtime.Object {
			return append(layer(w.isolation()), layer(w.allow("allow", GroupA, Port))...)
		},
		Parts: func(w Parameters) []Part {
			return []Part{
				{
					Name:   "allow",
					Change: Change{Delete: []runtime.Object{w.allow("allow", GroupA, Port)}},
					Expect: []Expect{{Group: GroupA, Port: Port, Want: measure.StateBlocked}},
				},
				{
					Name:   "isolation",
					Change: Change{Delete: []runtime.Object{w.isolation()}},
					Expect: []Expect{{Group: GroupA, Port: Port, Want: measure.StateAllowed}},
				},
			}
		},
	}
}
