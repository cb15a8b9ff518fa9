// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
)

// Nodes are the nodes on which pods can be placed, in the order of their names: their metadata,
// since the rest of a node is a hundred times as large and holds the images of all its pods.
func (c *Cluster) Nodes(ctx context.Context) ([]metav1.ObjectMeta, error) {
	const page = 500
	schedulable := fields.OneTermEqualSelector("spec.unschedulable", "false").String()
	options := metav1.ListOptions{FieldSelector: schedulable, Limit: page}

	var all []metav1.ObjectMeta
	for {
		list, err := c.metadata.Resource(corev1.SchemeGroupVersion.WithResource("nodes")).
			List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list nodes: %w", err)
		}
		for _, node := range list.Items {
			all = append(all, node.ObjectMeta)
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

// PodAddresses are where pods of the cluster have their addresses: those of pods that run, else the
// blocks of the nodes. There are none where neither can be found out.
func (c *Cluster) PodAddresses(ctx context.Context) []netip.Prefix {
	const enough = 500
	var all []netip.Prefix
	pods, err := c.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: enough})
	if err == nil {
		all = addressesOf(pods.Items)
	}
	if len(all) > 0 {
		return all
	}

	nodes, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: enough})
	if err != nil {
		return nil
	}
	return blocksOf(nodes.Items)
}

// addressesOf are the addresses of pods; those of a node's network are none of theirs.
func addressesOf(pods []corev1.Pod) []netip.Prefix {
	var all []netip.Prefix
	for _, pod := range pods {
		for _, ip := range pod.Status.PodIPs {
			address, err := netip.ParseAddr(ip.IP)
			if err == nil && !pod.Spec.HostNetwork {
				all = append(all, netip.PrefixFrom(address, address.BitLen()))
			}
		}
	}
	return all
}

// blocksOf are the blocks that nodes give their pods addresses of, if nodes have such.
func blocksOf(nodes []corev1.Node) []netip.Prefix {
	var all []netip.Prefix
	for _, node := range nodes {
		for _, text := range node.Spec.PodCIDRs {
			if block, err := netip.ParsePrefix(text); err == nil {
				all = append(all, block)
			}
		}
	}
	return all
}

// Node reads one node, from the API server's memory.
func (c *Cluster) Node(ctx context.Context, name string) (*corev1.Node, error) {
	node, err := c.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("read node %s: %w", name, err)
	}
	return node, nil
}

// Plugin is a network plugin that was found in the cluster.
type Plugin struct {
	Name string
	// Version is the tag of its image.
	Version string
}

// plugins are the daemon sets of network plugins that enforce policies, by the beginning of a name.
func plugins() []string {
	return []string{
		"cilium", "calico-node", "antrea-agent", "weave-net", "kube-router", "ovnkube-node",
		"kindnet",
		"kube-network-policies", "canal", "azure-npm", "aws-node", "anetd", "netd",
	}
}

// Plugins are the network plugins that run as daemon sets. It may find none: not all do.
func Plugins(ctx context.Context, client kubernetes.Interface) ([]Plugin, error) {
	list, err := client.AppsV1().DaemonSets(metav1.NamespaceAll).List(ctx,
		metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("find the network plugin among the daemon sets: %w", err)
	}

	var found []Plugin
	for _, set := range list.Items {
		if !slices.ContainsFunc(
			plugins(),
			func(name string) bool { return strings.HasPrefix(set.Name, name) },
		) {
			continue
		}
		containers := set.Spec.Template.Spec.Containers
		for _, container := range containers[:min(1, len(containers))] {
			_, tag, _ := strings.Cut(path.Base(container.Image), ":")
			found = append(found, Plugin{Name: set.Name, Version: tag})
		}
	}

	return found, nil
}
