// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package overlay lays over the objects of a run what a cluster, or its admission, wants of pods
// and namespaces: tolerations, limits, labels, and patches for all else.
package overlay

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// Overlay is what is laid over objects. The zero value changes nothing.
type Overlay struct {
	// PullSecrets are those that pods name and that have to be copied into their namespaces. One
	// without a namespace is in that of the user.
	PullSecrets []types.NamespacedName

	labels, annotations map[string]string // of every object
	nodeSelector        map[string]string
	tolerations         []corev1.Toleration
	limits              corev1.ResourceList
	priorityClass       string
	pod, namespace      []byte // strategic merge patches as JSON, nil without one
}

// Empty reports whether it changes nothing.
func (o Overlay) Empty() bool { return reflect.ValueOf(o).IsZero() }

// Apply lays it over objects in place: its labels and annotations over all, the rest over
// namespaces, pods, and the pod templates of deployments and jobs.
func (o Overlay) Apply(objects ...runtime.Object) error {
	for _, object := range objects {
		if err := o.apply(object); err != nil {
			return err
		}
	}
	return nil
}

func (o Overlay) apply(object runtime.Object) error {
	about, err := meta.Accessor(object)
	if err != nil {
		return fmt.Errorf("label an object: %w", err)
	}
	about.SetLabels(merged(about.GetLabels(), o.labels))
	about.SetAnnotations(merged(about.GetAnnotations(), o.annotations))

	switch object := object.(type) {
	case *corev1.Namespace:
		return patch(object, o.namespace, "namespace")
	case *corev1.Pod:
		template := corev1.PodTemplateSpec{ObjectMeta: object.ObjectMeta, Spec: object.Spec}
		err := o.applyPod(&template)
		object.ObjectMeta, object.Spec = template.ObjectMeta, template.Spec
		return err
	case *appsv1.Deployment:
		return o.applyPod(&object.Spec.Template)
	case *batchv1.Job:
		return o.applyPod(&object.Spec.Template)
	default:
		return nil
	}
}

// merged has what either has; the second wins.
func merged(first, second map[string]string) map[string]string {
	if len(second) == 0 {
		return first
	}
	all := maps.Clone(first)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, second)
	return all
}

func (o Overlay) applyPod(template *corev1.PodTemplateSpec) error {
	template.Labels = merged(template.Labels, o.labels)
	template.Annotations = merged(template.Annotations, o.annotations)

	spec := &template.Spec
	spec.NodeSelector = merged(spec.NodeSelector, o.nodeSelector)
	spec.Tolerations = append(slices.Clone(spec.Tolerations), o.tolerations...)
	if o.priorityClass != "" {
		spec.PriorityClassName = o.priorityClass
	}
	for _, secret := range o.PullSecrets {
		spec.ImagePullSecrets = append(slices.Clone(spec.ImagePullSecrets),
			corev1.LocalObjectReference{Name: secret.Name})
	}
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			o.limit(&containers[i].Resources)
		}
	}

	return patch(template, o.pod, "pod")
}

// limit sets the limits of a container, and lowers what it requests to them: no API server takes
// more.
func (o Overlay) limit(resources *corev1.ResourceRequirements) {
	if len(o.limits) == 0 {
		return
	}
	resources.Limits = maps.Clone(o.limits)
	resources.Requests = maps.Clone(resources.Requests)
	for name, most := range o.limits {
		if request, ok := resources.Requests[name]; ok && request.Cmp(most) > 0 {
			resources.Requests[name] = most
		}
	}
}

// patch changes an object by a strategic merge patch of its kind. Labels by which the run finds
// what it has created must stay.
func patch[T any, P interface {
	*T
	metav1.Object
}](object P, by []byte, what string) error {
	if len(by) == 0 {
		return nil
	}
	before, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode a %s: %w", what, err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, by, *object)
	if err != nil {
		return fmt.Errorf("--%s-patch: patch a %s: %w", what, what, err)
	}

	var patched T
	if err := yaml.UnmarshalStrict(after, &patched); err != nil {
		return fmt.Errorf("--%s-patch: expected only fields that a %s has: %w", what, what,
			plain(err))
	}
	labels := P(&patched).GetLabels()
	for key, value := range object.GetLabels() {
		if reserved(key) && labels[key] != value {
			return fmt.Errorf("--%s-patch changes the label %s: expected another label, since "+
				"the run finds its objects by this one", what, key)
		}
	}
	*object = patched
	return nil
}

// reserved reports whether a label is one by which a run finds what it has created.
func reserved(key string) bool {
	return key == "app.kubernetes.io/part-of" || scenario.Reserved(key)
}
