// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// CustomName is the name of the scenario of a user's own change.
const CustomName = "policy"

// Object is an object of a user's own change.
type Object struct {
	*unstructured.Unstructured
	// Namespaced says that the API serves its kind in namespaces.
	Namespaced bool
}

// Place is one of the namespaces of a run that stand for those of a user's files: that of the
// agents, that of the targets, and from [Elsewhere] on further ones, in which nothing runs.
type Place int

// The places.
const (
	AtAgents Place = iota
	AtTargets
	Elsewhere
)

// Pods are the agents or the targets, as a user's own change wants them.
type Pods struct {
	Labels map[string]string
	// Namespace is the name of their namespace, empty for one of the run's own, and
	// NamespaceLabels are labels of it.
	Namespace       string
	NamespaceLabels map[string]string
}

// TargetPort is a port that the targets serve; it need not have a name.
type TargetPort struct {
	Number int
	Name   string
}

// Trigger is a user's own change.
type Trigger struct {
	// Before is in force before the change, which applies and deletes objects.
	Before, Apply, Delete []Object
	// Agents and Targets are the pods that the change is about.
	Agents, Targets Pods
	SameNamespace   bool
	// Namespaces are the places of the files' namespaces by their names, of which the empty one is
	// that of objects that name none. Others are the labels of those that are elsewhere.
	Namespaces map[string]Place
	Others     []map[string]string
	Port       TargetPort
	Want       measure.State
	// Isolated puts the isolation of the other scenarios in force before, and KeepAPI one of the
	// agents that leaves them the API server, which the change would not.
	Isolated, KeepAPI bool

	// verify is what remains to be looked at once pods have addresses.
	verify func(agents, targets []netip.Addr) error
}

// Verify reports why the change cannot be about pods with these addresses.
func (t Trigger) Verify(agents, targets []netip.Addr) error {
	if t.verify == nil {
		return nil
	}
	return t.verify(agents, targets)
}

// Custom is the scenario of a user's own change.
func Custom(trigger Trigger) Scenario {
	return Scenario{
		Name:    CustomName,
		Summary: "A change of your own: when does the traffic become what you expect?",
		Groups:  onlyA,
		Setup: func(w Parameters) [][]runtime.Object {
			var layers [][]runtime.Object
			if isolation := trigger.isolation(w); len(isolation) > 0 {
				layers = append(layers, isolation)
			}
			if len(trigger.Before) > 0 {
				layers = append(layers, trigger.objects(w, trigger.Before))
			}
			return layers
		},
		Parts: func(w Parameters) []Part {
			gone := slices.DeleteFunc(slices.Clone(trigger.Delete), isPatch)
			change := Change{
				Apply: slices.Concat(
					trigger.objects(w, trigger.Apply), trigger.bare(w, trigger.Delete),
				),
				Delete: trigger.objects(w, gone),
			}
			return []Part{{Change: change, Expect: []Expect{
				{Group: GroupA, Port: cmp.Or(trigger.Port.Number, Port), Want: trigger.Want},
			}}}
		},
	}
}

// isolation is what is in force before the objects of the user.
func (t Trigger) isolation(w Parameters) []runtime.Object {
	var all []runtime.Object
	if t.Isolated {
		all = append(all, w.isolation())
	}
	if t.KeepAPI {
		w.Direction = setting.Egress
		keep := w.isolation()
		keep.Name += "-agents"
		all = append(all, keep)
	}
	return all
}

// objects are the user's objects as a run writes them.
func (t Trigger) objects(w Parameters, objects []Object) []runtime.Object {
	var all []runtime.Object
	for _, object := range objects {
		if isPatch(object) {
			all = append(all, w.patches(object.DeepCopy())...)
			continue
		}

		one := object.DeepCopy()
		one.SetNamespace("")
		if object.Namespaced {
			one.SetNamespace(w.namespaceAt(t.Namespaces[object.GetNamespace()]))
		}
		rename(one.Object, func(name string) string {
			if place, ok := t.Namespaces[name]; ok && name != "" {
				return w.namespaceAt(place)
			}
			return name
		})
		all = append(all, w.narrow(w.own(one)))
	}
	return all
}

// NamespaceNames are the names of the namespaces that stand for those of the files.
func (t Trigger) NamespaceNames(w Parameters) map[string]string {
	names := make(map[string]string)
	for name, place := range t.Namespaces {
		names[name] = w.namespaceAt(place)
	}
	return names
}

// namespaceAt is the name of the namespace at a place.
func (w Parameters) namespaceAt(place Place) string {
	switch place {
	case AtAgents:
		return w.AgentNamespace
	case AtTargets:
		return w.TargetNamespace
	}
	return w.OtherNamespaces[place-Elsewhere]
}

// namesOfNamespaces are the keys under which selectors have the name of a namespace: that of
// Kubernetes, and those of Cilium (https://docs.cilium.io/en/stable/network/kubernetes/policy/).
func namesOfNamespaces() []string {
	return []string{
		corev1.LabelMetadataName,
		"k8s:io.kubernetes.pod.namespace", "io.kubernetes.pod.namespace",
	}
}

// rename gives the namespaces that selectors in the content of an object name their new names.
func rename(content any, name func(string) string) {
	switch content := content.(type) {
	case []any:
		for _, one := range content {
			rename(one, name)
		}
	case map[string]any:
		for _, key := range namesOfNamespaces() {
			if text, ok := content[key].(string); ok {
				content[key] = name(text)
			}
			values, ok := content["values"].([]any)
			if !ok || content["key"] != key {
				continue
			}
			for i := range values {
				if text, ok := values[i].(string); ok {
					values[i] = name(text)
				}
			}
		}
		for _, one := range content {
			rename(one, name)
		}
	}
}

// own gives an object the labels of what is created. Where the user has given it the same ones,
// those stay, but for the one by which a run knows its own.
func (w Parameters) own(object *unstructured.Unstructured) *unstructured.Unstructured {
	labels := maps.Clone(w.Labels)
	if labels == nil {
		labels = make(map[string]string)
	}
	for key, value := range object.GetLabels() {
		if _, ours := labels[key]; !ours || !Reserved(key) {
			labels[key] = value
		}
	}
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

func isPatch(object Object) bool { return Patches(object.Unstructured) }

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

// bare are the patches among objects without their content, which takes them back.
func (t Trigger) bare(w Parameters, objects []Object) []runtime.Object {
	var all []runtime.Object
	for _, object := range objects {
		if !isPatch(object) {
			continue
		}
		bare := &unstructured.Unstructured{}
		bare.SetAPIVersion(object.GetAPIVersion())
		bare.SetKind(object.GetKind())
		bare.SetName(object.GetName())
		all = append(all, w.patches(bare)...)
	}
	return all
}

// Undo is what takes a user's own change back: objects to delete, and patches without their
// content.
func (t Trigger) Undo(w Parameters) (patches, objects []runtime.Object) {
	patches = t.bare(w, slices.Concat(t.Before, t.Apply))
	for _, object := range t.objects(w, slices.DeleteFunc(slices.Clone(t.Apply), isPatch)) {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		if kind != "Namespace" && kind != "Pod" {
			objects = append(objects, object)
		}
	}
	return patches, objects
}

// ClusterScoped are the objects of the change that are in no namespace, and go with none.
func (t Trigger) ClusterScoped() []Object {
	var all []Object
	for _, object := range slices.Concat(t.Before, t.Apply, t.Delete) {
		known := slices.ContainsFunc(all, func(one Object) bool { return sameObject(one, object) })
		if !object.Namespaced && !isPatch(object) && !known {
			all = append(all, object)
		}
	}
	return all
}

func sameObject(a, b Object) bool {
	return a.GroupVersionKind().GroupKind() == b.GroupVersionKind().GroupKind() &&
		a.GetNamespace() == b.GetNamespace() && a.GetName() == b.GetName()
}

// networkPolicies are the NetworkPolicies among objects.
func networkPolicies(objects []Object) ([]networkingv1.NetworkPolicy, error) {
	var all []networkingv1.NetworkPolicy
	for _, object := range objects {
		if !isNetworkPolicy(object) {
			continue
		}
		var policy networkingv1.NetworkPolicy
		err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object,
			&policy, true)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", nameOf(object), cmp.Or(mistyped(object), err))
		}
		all = append(all, policy)
	}
	return all, nil
}

// mistyped says which field of a NetworkPolicy has a value that it cannot have, nil if none is
// found: the converter says only that there is one.
func mistyped(object Object) error {
	content, err := json.Marshal(object.Object)
	if err != nil {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	if !errors.As(json.Unmarshal(content, new(networkingv1.NetworkPolicy)), &wrong) {
		return nil
	}
	want := map[reflect.Kind]string{
		reflect.String: "a text, in quotes", reflect.Slice: "a list", reflect.Struct: "an object",
		reflect.Map: "an object", reflect.Int32: "a number",
	}[wrong.Type.Kind()]
	return fmt.Errorf("the field %s is of another kind, %s: expected %s", wrong.Field, wrong.Value,
		cmp.Or(want, wrong.Type.String()))
}

func isNetworkPolicy(object Object) bool {
	kind := object.GroupVersionKind()
	return kind.Group == networkingv1.GroupName && kind.Kind == "NetworkPolicy"
}

// isOpaque reports whether an object is a policy of a kind whose meaning is not known here.
func isOpaque(object Object) bool {
	return strings.HasSuffix(object.GetKind(), "Policy") && !isNetworkPolicy(object)
}

// nameOf is what messages call an object.
func nameOf(object Object) string {
	if object.GetNamespace() == "" {
		return object.GetKind() + " " + object.GetName()
	}
	return object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
}
