// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// selection is what a policy's selectors say: pods of one namespace, or of all namespaces with
// certain labels.
type selection struct {
	namespace  string          // the one namespace, when namespaces is nil
	namespaces labels.Selector // or those that this selects
	pods       labels.Selector
	id         string // the same for selections that hold the same pods for the same reason
}

// selectPods is the pods with certain labels in the policy's own namespace.
func selectPods(namespace string, pods *metav1.LabelSelector) (selection, error) {
	selector, err := metav1.LabelSelectorAsSelector(pods)
	if err != nil {
		return selection{}, fmt.Errorf("read the pod selector: %w", err)
	}
	return selection{
		namespace: namespace, pods: selector,
		id: fmt.Sprintf("pods %s in %s", words(selector), namespace),
	}, nil
}

// selectNamespaces is the pods with certain labels, all if nil, in namespaces with certain labels.
func selectNamespaces(namespaces, pods *metav1.LabelSelector) (selection, error) {
	if pods == nil {
		pods = &metav1.LabelSelector{}
	}
	podSelector, err := metav1.LabelSelectorAsSelector(pods)
	if err != nil {
		return selection{}, fmt.Errorf("read the pod selector: %w", err)
	}

	namespaceSelector, err := metav1.LabelSelectorAsSelector(namespaces)
	if err != nil {
		return selection{}, fmt.Errorf("read the namespace selector: %w", err)
	}
	return selection{
		namespaces: namespaceSelector, pods: podSelector,
		id: fmt.Sprintf("pods %s in namespaces %s", words(podSelector), words(namespaceSelector)),
	}, nil
}

func words(s labels.Selector) string {
	if s.Empty() {
		return "*"
	}
	return s.String()
}

// wide says whether pods of more than one namespace can be meant.
func (s selection) wide() bool { return s.namespaces != nil }

// holds says whether a pod is meant, given the labels of its namespace. A namespace that the engine
// has not heard of is meant by no namespace selector.
func (s selection) holds(p podFacts, namespace labels.Set, known bool) bool {
	if s.wide() {
		return known && s.namespaces.Matches(namespace) && s.pods.Matches(p.Labels)
	}
	return s.namespace == p.Namespace && s.pods.Matches(p.Labels)
}
