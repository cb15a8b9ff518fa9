// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Nodes are the names of the nodes on which pods can be placed, in order.
func Nodes(ctx context.Context, client kubernetes.Interface) ([]corev1.Node, error) {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(node corev1.Node) bool {
		return node.Spec.Unschedulable
	}), nil
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
	list, err := client.AppsV1().DaemonSets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
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
