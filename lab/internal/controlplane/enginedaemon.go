// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// AnnounceEngine creates the daemon set that a cluster would run the engine with, so that programs
// find its name and version where they look for network plugins. It chooses no node: the engine is
// a process of the lab.
func AnnounceEngine(
	ctx context.Context, client kubernetes.Interface, name, version string,
) error {
	labels := map[string]string{"app": name}
	set := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{"netpol-latency-lab/no-node": ""},
					Containers:   []corev1.Container{{Name: name, Image: name + ":" + version}},
				},
			},
		},
	}
	sets := client.AppsV1().DaemonSets(metav1.NamespaceSystem)
	if _, err := sets.Create(ctx, set, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("announce engine %s: %w", name, err)
	}
	return nil
}
