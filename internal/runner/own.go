// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// Own are the objects of a user's own change as its files have them.
type Own struct{ Before, Policy, Replace []*unstructured.Unstructured }

// Derive completes options by a user's own change: it asks the API which kinds it serves and where
// pods have their addresses, and reads off the objects what the settings leave open. Nothing is
// created.
func Derive(
	ctx context.Context, cluster *kube.Cluster, options Options, own Own,
) (scenario.Derived, error) {
	var files scenario.Files
	err := errors.Join(
		locate(cluster, own.Before, &files.Before),
		locate(cluster, own.Policy, &files.Policy),
		locate(cluster, own.Replace, &files.Replace),
	)
	if err != nil {
		return scenario.Derived{}, err
	}
	return scenario.Derive(files, options.Settings, scenario.Facts{
		Pods: cluster.PodAddresses(ctx), Labels: ownLabels(options.RunID),
	})
}

// Namespaces are the names of the namespaces that stand for those of the files of a user's own
// change, by the names that they have there.
func Namespaces(o Options, trigger scenario.Trigger) map[string]string {
	o.Trigger = &trigger
	return trigger.NamespaceNames(newEnvironment(o, scenario.Custom(trigger), nil, nil,
		nil).parameters)
}

// locate finds out which objects are in namespaces.
func locate(
	cluster *kube.Cluster, objects []*unstructured.Unstructured, to *[]scenario.Object,
) error {
	var mistakes []error
	for _, object := range objects {
		namespaced, err := cluster.Namespaced(object.GroupVersionKind())
		mistakes = append(mistakes, err)
		*to = append(*to, scenario.Object{Unstructured: object, Namespaced: namespaced})
	}
	return errors.Join(mistakes...)
}
