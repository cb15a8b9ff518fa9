// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func policyUpdate() Scenario {
	return Scenario{
		Name: "policy-update",
		Summary: "A policy is updated: when does the new pair open, and when does the old one " +
			"close?",
		Detail: "Three updates: of the pod selector, of the port, of the peer (to an address " +
			"block). Each has two\n" +
			"results, open and close; a third group of targets must stay blocked all the time.",
		Groups: func(setting.Settings) []Group {
			return []Group{{Name: GroupA}, {Name: GroupB}, {Name: GroupC, Few: true}}
		},
		Setup: func(w Parameters) [][]runtime.Object {
			return append(layer(w.isolation()), layer(w.byPods().allow("allow", GroupA, Port))...)
		},
		Parts: func(w Parameters) []Part {
			blocks := w
			blocks.Peer = setting.PeerBlock
			parts := []Part{
				swap("selector", w.byPods().allow("allow", GroupB, Port), side{GroupA, Port},
					side{GroupB, Port}),
				swap("port", w.byPods().allow("allow", GroupB, OtherPort), side{GroupB, Port},
					side{GroupB, OtherPort}),
				swap("peer", blocks.allow("allow", GroupA, OtherPort), side{GroupB, OtherPort},
					side{GroupA, OtherPort}),
			}
			if w.Skip == setting.SkipPeer {
				parts = parts[:len(parts)-1]
			}
			return parts
		},
	}
}

// byPods are the parameters with policies that tell the groups of targets apart.
func (w Parameters) byPods() Parameters {
	w.Peer = setting.PeerPod
	return w
}

// side is a group of targets at a port.
type side struct {
	group string
	port  int
}

// swap is an update that closes one side and opens another.
func swap(name string, update runtime.Object, old, now side) Part {
	return Part{
		Name:   name,
		Change: Change{Apply: []runtime.Object{update}},
		Expect: []Expect{
			{Group: old.group, Port: old.port, Want: measure.StateBlocked, Name: "close"},
			{Group: now.group, Port: now.port, Want: measure.StateAllowed, Name: "open"},
			{Group: GroupC, Port: now.port, Forbidden: true, Name: "other"},
		},
	}
}
