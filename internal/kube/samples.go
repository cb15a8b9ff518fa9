// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"io"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// MetricsPortName is the name of the container port on which the test clients serve their results.
const MetricsPortName = "npdelaymetrics"

// ClientPods are the running test client pods that the label selector matches.
func (n Namespace) ClientPods(ctx context.Context, selector string) ([]corev1.Pod, error) {
	list, err := n.Client.CoreV1().
		Pods(n.Name).
		List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list test client pods: %w", err)
	}

	var running []corev1.Pod
	for _, pod := range list.Items {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			running = append(running, pod)
		}
	}

	return running, nil
}

// OpenSamples opens the samples of a test client pod through the API server, as JSON Lines. With
// wait, the answer comes only when every target has a result.
func OpenSamples(
	ctx context.Context, client kubernetes.Interface, pod corev1.Pod, wait bool,
) (io.ReadCloser, error) {
	parameters := map[string]string{}
	if wait {
		parameters["wait"] = "true"
	}
	stream, err := client.CoreV1().Pods(pod.Namespace).
		ProxyGet("http", pod.Name, metricsPort(pod), "samples", parameters).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch the samples of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return stream, nil
}

// metricsPort is the number of the port by that name: for pods the API server takes no names. Empty
// is the pod's first port.
func metricsPort(pod corev1.Pod) string {
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == MetricsPortName {
				return strconv.Itoa(int(port.ContainerPort))
			}
		}
	}
	return ""
}
