// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

func policyDeny() Scenario {
	return Scenario{
		Name:    "policy-deny",
		Summary: "A policy that isolates is created: how long does traffic still flow?",
		Detail: "There is no policy before. What counts are new connections; \"established\" is " +
			"about the others.",
		Groups: onlyA,
		Setup:  func(Parameters) [][]runtime.Object { return nil },
		Parts: func(w Parameters) []Part {
			return []Part{{
				Change: Change{Apply: []runtime.Object{w.isolation()}},
				Expect: []Expect{{Group: GroupA, Port: Port, Want: measure.StateBlocked}},
			}}
		},
	}
}
