// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func podStartup() Scenario {
	return Scenario{
		Name: "pod-startup",
		Summary: "A pod starts under policies that are in force: what can it reach from its " +
			"first instant?",
		Detail: "Seen from inside, init container first. Counts from the start of the " +
			"container's process until its\n" +
			"first allowed egress. What the policies forbid must never be answered: each reply " +
			"is a leak.",
		Kind: Inside,
		Groups: func(setting.Settings) []Group {
			return []Group{{Name: GroupA, Few: true}, {Name: GroupB, Few: true}}
		},
		Setup: func(w Parameters) [][]runtime.Object {
			return layer(w.isolation(), w.byPods().allow("allow", GroupA, Port))
		},
		Parts: func(Parameters) []Part {
			return []Part{{Expect: []Expect{
				{Group: GroupA, Port: Port, Want: measure.StateAllowed},
				{Group: GroupB, Port: Port, Forbidden: true, Name: "forbidden"},
			}}}
		},
	}
}
