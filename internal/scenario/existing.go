// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// Existing is a namespace that was there before the run. It keeps its labels.
type Existing struct {
	Name string
	// Unread says that the user may not read it, and its labels are not known.
	Unread bool
}

// guest reports whether the namespaces are not the run's own.
func (f Facts) guest() bool { return f.AgentNamespace.Name != "" }

// oneNamespace reports whether agents and targets share one that exists.
func (f Facts) oneNamespace() bool {
	return f.guest() && f.AgentNamespace.Name == f.TargetNamespace.Name
}

// selectable is the namespace of pods, which the files call by a name.
func (e Existing) selectable(what, name string, pods Pods, all map[string]string) selectable {
	s := selectable{whose: "the namespace of the " + what, asked: pods.NamespaceLabels}
	ours := pods.Namespace
	if e.Name != "" {
		ours, s.asked = e.Name, all
		s.whose = fmt.Sprintf("namespace %s, which keeps them", e.Name)
	}
	if e.Unread {
		s.whose = fmt.Sprintf("namespace %s, which this user may not read", e.Name)
	}
	if strings.HasPrefix(name, "\x00") && ours != "" {
		name = ours
	}
	s.all = labels.Merge(all, labels.Set{corev1.LabelMetadataName: name})
	return s
}

// keepPolicies leaves out of the files what a run does not write into namespaces that exist: all
// but NetworkPolicies, whose selectors can be kept to the pods of the run. What is there under the
// names of other objects is somebody's. Namespaces stay: what others mean by them is read off them.
func (d *derivation) keepPolicies() error {
	var mistakes []error
	const mend = "expected NetworkPolicies alone with --namespace"
	kept := func(objects []Object) []Object {
		var kept []Object
		for _, object := range objects {
			switch {
			case isNetworkPolicy(object), isNamespace(object), isPatch(object) &&
				object.GetKind() == "Pod":
				kept = append(kept, object)
			case isPatch(object):
				mistakes = append(mistakes, fmt.Errorf("%s has labels for a namespace of the run, "+
					"and one that exists keeps its own: %s", nameOf(object), mend))
			case isOpaque(object):
				mistakes = append(mistakes,
					fmt.Errorf("%s may be about pods of others, as what it "+
						"means is not known here: %s", nameOf(object), mend))
			default:
				d.leftOut = append(d.leftOut, nameOf(object))
			}
		}
		return kept
	}

	was := d.files
	d.files = Files{kept(was.Before), kept(was.Policy), kept(was.Replace)}
	change := func(object Object) bool { return !isNamespace(object) }
	if len(was.Policy) > 0 && !slices.ContainsFunc(d.files.Policy, change) {
		mistakes = append(mistakes, fmt.Errorf("--policy has no policy: %s", mend))
	}
	return errors.Join(mistakes...)
}

// fit says why a change does not fit into the namespaces that exist.
func (f Facts) fit(t Trigger, agents, targets wish) error {
	one, other := namespaceText(targets.namespace), namespaceText(agents.namespace)
	switch {
	case !f.guest():
		return nil
	case f.oneNamespace() && !t.SameNamespace:
		return fmt.Errorf("it is about pods in %s and in %s, and --namespace is one: expected "+
			"--target-namespace with another one", one, other)
	case !f.oneNamespace() && t.SameNamespace:
		return fmt.Errorf("it is about pods in one namespace, and --namespace and "+
			"--target-namespace are two: expected --namespace %s alone", f.TargetNamespace.Name)
	case len(t.Others) > 0:
		return fmt.Errorf("the files have objects in %s, and --namespace and --target-namespace "+
			"stand for %s and %s: expected a file without them", t.elsewhere(), one, other)
	}
	return nil
}

// elsewhere is what messages call the namespaces of the files that are neither the agents' nor the
// targets'.
func (t Trigger) elsewhere() string {
	var names []string
	for name, place := range t.Namespaces {
		if place >= Elsewhere {
			names = append(names, namespaceText(name))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// narrow keeps an object of the user's to the pods of the run, where others are in its namespace:
// under a name that nobody else has, and with a selector that matches nothing but these.
func (w Parameters) narrow(object *unstructured.Unstructured) *unstructured.Unstructured {
	if len(w.Scope) == 0 {
		return object
	}
	object.SetName(w.Prefix + object.GetName())
	selected := object.Object
	for _, field := range []string{"spec", "podSelector", "matchLabels"} {
		inner, ok := selected[field].(map[string]any)
		if !ok {
			inner = make(map[string]any)
			selected[field] = inner
		}
		selected = inner
	}
	for key, value := range w.Scope {
		selected[key] = value
	}
	return object
}
