// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// podFacts are what matters about a pod. A change of anything else is no event.
type podFacts struct {
	types.NamespacedName
	UID     types.UID
	Node    string
	Created time.Time
	Labels  labels.Set
	// Addresses is empty for pods that have none of their own: those in the host's network, those
	// that have ended, and those that have not started.
	Addresses []netip.Addr
	Ports     []namedPort
}

// namedPort is a port that a container gives a name to. The id is that of the name's set.
type namedPort struct {
	id     string
	number uint16
}

// factsOfPod drops addresses once the pod has ended: they may belong to another pod already. A pod
// that is only being deleted still runs, and keeps them.
func factsOfPod(pod *corev1.Pod) podFacts {
	facts := podFacts{
		NamespacedName: types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name},
		UID:            pod.UID,
		Node:           pod.Spec.NodeName,
		Created:        pod.CreationTimestamp.Time,
		Labels:         pod.Labels,
	}

	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if pod.Spec.HostNetwork || ended {
		return facts
	}
	facts.Addresses = podAddresses(pod.Status)
	for _, c := range pod.Spec.Containers {
		facts.addPorts(c.Ports)
	}

	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			facts.addPorts(c.Ports) // a sidecar
		}
	}

	return facts
}

// relabels says whether nothing but the labels of a pod have changed.
func relabels(before, now podFacts) bool {
	return before.UID == now.UID && !maps.Equal(before.Labels, now.Labels) &&
		slices.Equal(before.Addresses, now.Addresses)
}

func podAddresses(status corev1.PodStatus) []netip.Addr {
	var addresses []netip.Addr
	for _, ip := range append([]corev1.PodIP{{IP: status.PodIP}}, status.PodIPs...) {
		address, err := netip.ParseAddr(ip.IP)
		if err == nil && !slices.Contains(addresses, address.Unmap()) {
			addresses = append(addresses, address.Unmap())
		}
	}
	return addresses
}

func (f *podFacts) addPorts(ports []corev1.ContainerPort) {
	for _, p := range ports {
		if p.Name != "" {
			protocol := cmp.Or(string(p.Protocol), string(corev1.ProtocolTCP))
			f.Ports = append(f.Ports, namedPort{portID(protocol, p.Name), uint16(p.ContainerPort)})
		}
	}
}

// portID is the id of the set of a named port.
func portID(protocol, name string) string { return fmt.Sprintf("port %s/%s", protocol, name) }
