// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// readerName is the role that lets agents read what the triggers change.
const readerName = "agent-reads"

// changes are where the API serves what a trigger writes.
func (e *environment) changes(change scenario.Change) ([]protocol.Object, error) {
	var all []protocol.Object
	for _, object := range slices.Concat(change.Apply, change.Delete) {
		at, err := e.cluster.Locate(object)
		if err != nil {
			return nil, err
		}
		all = append(all, protocol.Object{
			Group: at.Group, Version: at.Version, Resource: at.Resource,
			Namespace: at.Namespace, Name: at.Name,
		})
	}
	return all, nil
}

// allowReads lets the agents read and watch what the triggers will change, by name. They can do
// without: a cluster in which this run may not give the right away has starts as wide as its own
// writes.
func (e *environment) allowReads(ctx context.Context) error {
	rules := make(map[string][]rbacv1.PolicyRule) // by namespace
	for _, part := range e.scenario.Parts(e.parameters) {
		changes, err := e.changes(part.Change)
		if err != nil {
			return err
		}
		for _, object := range changes {
			namespace := object.Namespace
			if object.Group == "" && object.Resource == "namespaces" {
				namespace = object.Name // the API takes a namespace for an object in itself
			}
			if !e.owns(namespace) {
				continue // nothing is granted where the run is a guest
			}
			rules[namespace] = append(rules[namespace], rbacv1.PolicyRule{
				APIGroups: []string{object.Group}, Resources: []string{object.Resource},
				ResourceNames: []string{object.Name}, Verbs: []string{"get", "list", "watch"},
			})
		}
	}

	for namespace, all := range rules {
		err := e.apply(ctx, e.permission(namespace, readerName, all...)...)
		if apierrors.IsForbidden(err) {
			// Who may not pass on the right to watch may still let them read.
			for i := range all {
				all[i].Verbs = []string{"get"}
			}
			err = e.apply(ctx, e.permission(namespace, readerName, all...)...)
		}
		if apierrors.IsForbidden(err) {
			e.collector.warn("this user may not let the agents read what the triggers change: " +
				"starts are as wide as its own writes: " + err.Error())
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// owns reports whether a namespace is one that the run has made for the scenario.
func (e *environment) owns(namespace string) bool {
	return slices.Contains(e.namespaceNames(), namespace)
}
