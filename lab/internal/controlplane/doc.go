// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package controlplane is the lab's Kubernetes control plane: its credentials, and the arguments
// and main functions of the processes that it consists of.
package controlplane
