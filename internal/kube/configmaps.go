// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// WatchConfigMap delivers the events of the one config map of that name, with its data, until the
// context ends, and returns the context's error.
func (n Namespace) WatchConfigMap(ctx context.Context, name string, sink Sink) error {
	maps := n.Client.CoreV1().ConfigMaps(n.Name)
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	return source[*corev1.ConfigMapList]{
		kind:   "config map " + n.Name + "/" + name,
		list:   maps.List,
		watch:  maps.Watch,
		narrow: func(options *metav1.ListOptions) { options.FieldSelector = only },
		event: func(object runtime.Object) measure.Event {
			if one, ok := object.(*corev1.ConfigMap); ok {
				return measure.Event{Data: one.Data}
			}
			return measure.Event{}
		},
		example: &corev1.ConfigMap{},
		client:  n.Client,
	}.follow(ctx, sink, func() {})
}
