// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Trigger is a user's own change.
type Trigger struct {
	// Objects are applied. Those that have a namespace are put into the namespace that the
	// direction says: that of the agents for egress, that of the targets for ingress.
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
		Setup: func(w Parameters) [][]runtime.Object {
			if trigger.Isolated {
				return layer(w.isolation())
			}
			return nil
		},
		Parts: func(w Parameters) []Part {
			namespace := w.AgentNamespace
			if w.Direction == setting.Ingress {
				namespace = w.TargetNamespace
			}
			var objects []runtime.Object
			for _, object := range trigger.Objects {
				one := object.DeepCopy()
				switch {
				case Patches(object):
					objects = append(objects, w.patches(one)...)
					continue
				case one.GetNamespace() != "":
					one.SetNamespace(namespace)
				}
				objects = append(objects, w.own(one))
			}
			return []Part{{
				Change: Change{Apply: objects},
				Expect: []Expect{{Group: GroupA, Port: Port, Want: trigger.Want}},
			}}
		},
	}
}

// own gives an object the labels of what is created.
func (w Parameters) own(object *unstructured.Unstructured) *unstructured.Unstructured {
	labels := object.GetLabels()
	if labels == nil {
		labels = make(map[string]string)
	}
	maps.Copy(labels, w.Labels)
	if len(labels) > 0 {
		object.SetLabels(labels)
	}
	return object
}

// The names by which a user's own change means what is the run's: the namespaces, or the agents'
// pods.
const (
	ofAgents  = "agents"
	ofTargets = "targets"
)

// Patches reports whether an object of a user's own change is a patch of something that the run
// has: of a namespace, or of the agents' pods. It is applied to that, and never deleted.
func Patches(object *unstructured.Unstructured) bool {
	kind, name := object.GetKind(), object.GetName()
	return kind == "Namespace" && (name == ofAgents || name == ofTargets) || kind == "Pod" &&
		name == ofAgents
}

// patches are the objects that a patch stands for.
func (w Parameters) patches(object *unstructured.Unstructured) []runtime.Object {
	if object.GetKind() == "Namespace" {
		name := map[string]string{ofAgents: w.AgentNamespace,
			ofTargets: w.TargetNamespace}[object.GetName()]
		object.SetName(name)
		return []runtime.Object{object}
	}

	var all []runtime.Object
	for _, name := range w.AgentPods {
		one := object.DeepCopy()
		one.SetName(name)
		one.SetNamespace(w.AgentNamespace)
		all = append(all, one)
	}

	return all
}

// Undo is what takes a user's own change back: objects to delete, and patches without their
// content.
func (t Trigger) Undo(w Parameters) (patches, objects []runtime.Object) {
	for _, object := range t.Objects {
		if !Patches(object) {
			continue
		}
		bare := &unstructured.Unstructured{}
		bare.SetAPIVersion(object.GetAPIVersion())
		bare.SetKind(object.GetKind())
		bare.SetName(object.GetName())
		patches = append(patches, w.patches(bare)...)
	}

	for _, object := range Custom("", t).Parts(w)[0].Change.Apply {
		if one, ok := object.(*unstructured.Unstructured); ok && one.GetKind() != "Namespace" &&
			one.GetKind() != "Pod" {
			objects = append(objects, object)
		}
	}

	return patches, objects
}
