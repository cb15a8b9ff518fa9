// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// Unsuited is why a pod of the overlay would not be scheduled to a node, as far as the node says;
// empty if it would.
func (o Overlay) Unsuited(node *corev1.Node) string {
	template := corev1.PodTemplateSpec{}
	if err := o.applyPod(&template); err != nil {
		return err.Error()
	}
	spec := template.Spec

	if node.Spec.Unschedulable {
		return "unschedulable"
	}
	if os := node.Labels[corev1.LabelOSStable]; os != "" && os != "linux" {
		return "its operating system is " + os
	}
	if !ready(node) {
		return "not Ready"
	}
	for key, value := range spec.NodeSelector {
		if node.Labels[key] != value {
			return fmt.Sprintf("it has no label %s=%s", key, value)
		}
	}
	for _, taint := range node.Spec.Taints {
		if taint.Effect != corev1.TaintEffectPreferNoSchedule && !tolerates(spec, taint) {
			return "taint " + taint.ToString() + ": see --toleration"
		}
	}
	return ""
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func tolerates(spec corev1.PodSpec, taint corev1.Taint) bool {
	return slices.ContainsFunc(spec.Tolerations, func(one corev1.Toleration) bool {
		return one.ToleratesTaint(klog.Background(), &taint, false)
	})
}
