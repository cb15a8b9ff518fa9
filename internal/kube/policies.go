// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// WatchPolicy delivers the events of the one network policy of that name until the context ends, and
// returns the context's error. The policy need not exist yet.
func WatchPolicy(
	ctx context.Context, client kubernetes.Interface, namespace, name string, sink Sink, synced func(),
) error {
	policies := client.NetworkingV1().NetworkPolicies(namespace)
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	return source[*networkingv1.NetworkPolicyList]{
		kind:    "network policy " + namespace + "/" + name,
		list:    policies.List,
		watch:   policies.Watch,
		narrow:  func(options *metav1.ListOptions) { options.FieldSelector = only },
		event:   func(runtime.Object) measure.Event { return measure.Event{} },
		example: &networkingv1.NetworkPolicy{},
		client:  client,
	}.follow(ctx, sink, synced)
}
