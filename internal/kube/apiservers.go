// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// APIServers are all addresses at which pods reach the API server: the endpoints of the service
// kubernetes in every family, and the service's own addresses for policy engines that filter
// packets before they are redirected to an endpoint.
func APIServers(ctx context.Context, client kubernetes.Interface) ([]netip.AddrPort, error) {
	slicesFound, err := client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
	if err != nil {
		return nil, fmt.Errorf("find the API server's endpoints: %w", err)
	}

	var found []netip.AddrPort
	for _, slice := range slicesFound.Items {
		found = append(found, endpoints(slice)...)
	}

	if len(found) == 0 {
		return nil, errors.New("find the API server's endpoints: the service default/kubernetes " +
			"has none")
	}

	service, err := client.CoreV1().
		Services(metav1.NamespaceDefault).
		Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("find the API server's service: %w", err)
	}

	for _, text := range service.Spec.ClusterIPs {
		if address, err := netip.ParseAddr(text); err == nil {
			for _, port := range service.Spec.Ports {
				found = append(found, netip.AddrPortFrom(address, uint16(port.Port)))
			}
		}
	}

	slices.SortFunc(found, netip.AddrPort.Compare)
	return slices.Compact(found), nil
}

// AnyAPIServer stands for the API server where its addresses cannot be read: every address, at the
// ports that API servers and the service kubernetes usually have, and at that which the user has,
// but for some.
func (c *Cluster) AnyAPIServer(but ...uint16) []netip.AddrPort {
	var all []netip.AddrPort
	for _, port := range []uint16{443, 6443, c.port} {
		if port == 0 || slices.Contains(but, port) {
			continue
		}
		for _, every := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			all = append(all, netip.AddrPortFrom(every, port))
		}
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return slices.Compact(all)
}

func endpoints(slice discoveryv1.EndpointSlice) []netip.AddrPort {
	var found []netip.AddrPort
	for _, endpoint := range slice.Endpoints {
		for _, text := range endpoint.Addresses {
			address, err := netip.ParseAddr(text)
			if err != nil {
				continue // an FQDN: no policy can name it
			}
			for _, port := range slice.Ports {
				if port.Port != nil {
					found = append(found, netip.AddrPortFrom(address, uint16(*port.Port)))
				}
			}
		}
	}

	return found
}
