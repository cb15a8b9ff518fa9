// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import "k8s.io/client-go/kubernetes"

// Namespace is one namespace of a cluster as a client sees it.
type Namespace struct {
	Client kubernetes.Interface
	Name   string
}
