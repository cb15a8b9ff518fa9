// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// WatchPods delivers the events of the pods that the label selector matches until the context ends,
// and returns the context's error.
func (n Namespace) WatchPods(ctx context.Context, selector string, sink Sink, synced func()) error {
	pods := n.Client.CoreV1().Pods(n.Name)
	return source[*corev1.PodList]{
		kind:    "pods in namespace " + n.Name,
		list:    pods.List,
		watch:   pods.Watch,
		narrow:  func(options *metav1.ListOptions) { options.LabelSelector = selector },
		event:   podEvent,
		example: &corev1.Pod{},
		client:  n.Client,
	}.follow(ctx, sink, synced)
}

func podEvent(object runtime.Object) measure.Event {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return measure.Event{}
	}
	return measure.Event{
		Addresses: addresses(pod.Status),
		Labels:    pod.Labels,
		Node:      pod.Spec.NodeName,
		Ready:     PodReady(pod),
		Finished:  PodEnded(pod),
	}
}

// PodEnded reports whether a pod has ended for good, although its object still exists.
func PodEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// PodReady reports whether a pod is ready, and is to stay.
func PodReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil &&
		slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
}

// addresses are the pod's addresses, its primary one first.
func addresses(status corev1.PodStatus) []netip.Addr {
	texts := []string{status.PodIP}
	for _, ip := range status.PodIPs {
		texts = append(texts, ip.IP)
	}

	var found []netip.Addr
	seen := make(map[netip.Addr]bool)
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil && !seen[address] {
			seen[address] = true
			found = append(found, address)
		}
	}

	return found
}
