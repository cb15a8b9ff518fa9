// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package kube turns the Kubernetes API into the nouns of package measure: watches become events,
// stamped on arrival. It keeps to one LIST and one WATCH for each resource.
package kube
