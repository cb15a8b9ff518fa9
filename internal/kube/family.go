// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Families are the IP families of the cluster's pods.
type Families struct {
	IPv4, IPv6 bool
	// PrefersIPv6 says that the first address of a pod is of that family.
	PrefersIPv6 bool
}

// someNodes is how many nodes are asked for the addresses of their pods.
const someNodes = 3

// Families finds the IP families of the pods: those of the ranges of some nodes, where nodes have
// such ranges, else those of addresses of pods that run. Where neither tells, both may be there.
func (c *Cluster) Families(ctx context.Context) (Families, error) {
	var found Families
	nodes, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: someNodes})
	if err != nil {
		return Families{}, fmt.Errorf("find the address families: list nodes: %w", err)
	}
	for _, node := range nodes.Items {
		for _, text := range node.Spec.PodCIDRs {
			if prefix, err := netip.ParsePrefix(text); err == nil {
				found.add(prefix.Addr())
			}
		}
	}
	if found.known() {
		return found, nil
	}

	pods, err := c.CoreV1().Pods(metav1.NamespaceSystem).List(ctx,
		metav1.ListOptions{FieldSelector: "status.phase=Running", Limit: mostAsked})
	if err != nil {
		return Families{}, fmt.Errorf("find the address families: list pods: %w", err)
	}
	for _, pod := range pods.Items {
		for _, ip := range pod.Status.PodIPs {
			address, err := netip.ParseAddr(ip.IP)
			if err == nil && !pod.Spec.HostNetwork { // a node's address is of the node's network
				found.add(address)
			}
		}
	}
	if !found.known() {
		return Families{IPv4: true, IPv6: true}, nil
	}
	return found, nil
}

func (f *Families) known() bool { return f.IPv4 || f.IPv6 }

// add takes in an address. The first one says what is preferred.
func (f *Families) add(address netip.Addr) {
	if !f.known() {
		f.PrefersIPv6 = address.Is6()
	}
	f.IPv4, f.IPv6 = f.IPv4 || address.Is4(), f.IPv6 || address.Is6()
}
