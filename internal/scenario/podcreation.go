// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

func podCreation() Scenario {
	return Scenario{
		Name:    "pod-creation",
		Summary: "A pod is created under policies that allow it: when can others reach it?",
		Detail: "Counts from the arrival of the pod's address at the agent. With --baseline " +
			"there are no policies:\n" +
			"the difference is what they cost.",
		Kind:     Created,
		Baseline: true,
		Groups:   noGroups,
		Setup: func(w Parameters) [][]runtime.Object {
			if w.Baseline {
				return nil
			}
			return layer(w.isolation(), w.allow("allow", GroupA, Port))
		},
		Parts: func(Parameters) []Part {
			return []Part{{Expect: []Expect{{Group: GroupA, Port: Port,
				Want: measure.StateAllowed}}}}
		},
	}
}
