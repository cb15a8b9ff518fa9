// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func policyCreation() Scenario {
	return Scenario{
		Name:    "policy-creation",
		Summary: "A policy that allows is created: when is the traffic allowed?",
		Detail: "Everything is isolated before. With --peer ipBlockExcept a second group of " +
			"targets is in the\n" +
			"exception and must stay blocked.",
		Groups: func(s setting.Settings) []Group {
			if s.Peer == setting.PeerBlockExcept {
				return []Group{{Name: GroupA}, {Name: GroupB, Few: true}}
			}
			return []Group{{Name: GroupA}}
		},
		Setup: func(w Parameters) [][]runtime.Object {
			objects := []runtime.Object{w.isolation()}
			if w.Peer == setting.PeerBlockExcept && w.Direction == setting.Ingress {
				objects = append(objects, w.allowOthers("except", GroupB, Port))
			}
			return layer(objects...)
		},
		Parts: func(w Parameters) []Part {
			part := Part{
				Change: Change{Apply: []runtime.Object{w.allow("allow", GroupA, Port)}},
				Expect: []Expect{{Group: GroupA, Port: Port, Want: measure.StateAllowed}},
			}
			if w.Peer == setting.PeerBlockExcept {
				part.Expect = append(part.Expect, Expect{Group: GroupB, Port: Port, Forbidden: true,
					Name: "excepted"})
			}
			return []Part{part}
		},
	}
}
