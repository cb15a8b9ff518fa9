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
	nodes, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: someNodes})
	if err != nil {
		return Families{}, fmt.Errorf("find the address families: list nodes: %w", err)
	}
	if blocks := blocksOf(nodes.Items); len(blocks) > 0 {
		return familiesOf(blocks), nil
	}

	pods, err := c.CoreV1().Pods(metav1.NamespaceSystem).List(ctx,
		metav1.ListOptions{FieldSelector: "status.phase=Running", Limit: mostAsked})
	if err != nil {
		return Families{}, fmt.Errorf("find the address families: list pods: %w", err)
	}
	if addresses := addressesOf(pods.Items); len(addresses) > 0 {
		return familiesOf(addresses), nil
	}
	return Families{IPv4: true, IPv6: true}, nil
}

// familiesOf are the families of addresses, of which the first says what is preferred.
func familiesOf(all []netip.Prefix) Families {
	found := Families{PrefersIPv6: all[0].Addr().Is6()}
	for _, one := range all {
		found.IPv4 = found.IPv4 || one.Addr().Is4()
		found.IPv6 = found.IPv6 || one.Addr().Is6()
	}
	return found
}
