// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Trigger is a user's own change.
type Trigger struct {
	// Objects are applied. Those that have a namespace are put into the namespace that the direction says:
	// that of the agents for egress, that of the targets for ingress.
	Objects []*unstructured.Unstructured
	// From and To are labels that the agents and the targets get, for the objects to select.
	From, To map[string]string
	Want     measure.State
	// Isolated puts the isolation of the other scenarios in force before.
	Isolated bool
}

// Custom is the scenario of a user's own change.
func Custom(name string, trigger Trigger) Scenario {
	return Scenario{
		Name:    name,
		Summary: "A change of your own: when does the traffic become what you expect?",
		Groups:  onlyA,
		Setup: func(w World) [][]runtime.Object {
			if trigger.Isolated {
				return layer(w.isolation())
			}
			return nil
		},
		Parts: func(w World) []Part {
			namespace := w.AgentNamespace
			if w.Direction == Ingress {
				namespace = w.TargetNamespace
			}
			var objects []runtime.Object
			for _, object := range trigger.Objects {
				one := object.DeepCopy()
				if one.GetNamespace() != "" {
					one.SetNamespace(namespace)
				}
				objects = append(objects, one)
			}
			return []Part{{
				Change: Change{Apply: objects},
				Expect: []Expect{{Group: GroupA, Port: Port, Want: trigger.Want}},
			}}
		},
	}
}
