// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/kube"
)

// pollRemoval is the pause between two looks at something that is being removed.
const pollRemoval = 100 * time.Millisecond

// Leftovers are the namespaces that a run has left, of every run if none is named.
func Leftovers(ctx context.Context, cluster *kube.Cluster, runID string) ([]string, error) {
	selector := RunLabel
	if runID != "" {
		selector += "=" + runID
	}
	list, err := cluster.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: selector + "," + PartOfLabel + "=" + PartOf})
	if err != nil {
		return nil, fmt.Errorf("find what is left: %w", err)
	}
	var names []string
	for _, namespace := range list.Items {
		names = append(names, namespace.Name)
	}
	return names, nil
}

// Cleanup removes namespaces, which Leftovers has found, and waits until they are gone.
func Cleanup(ctx context.Context, cluster *kube.Cluster, namespaces []string) error {
	return removeNamespaces(ctx, cluster, namespaces)
}

func removeNamespaces(ctx context.Context, cluster *kube.Cluster, names []string) error {
	client := cluster.CoreV1().Namespaces()
	var mistakes []error
	for _, name := range names {
		// What ends by itself would only wait for the end of its grace period.
		_ = cluster.CoreV1().Pods(name).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}, metav1.ListOptions{})
		if err := client.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			mistakes = append(mistakes, fmt.Errorf("delete namespace %s: %w", name, err))
		}
	}
	for _, name := range names {
		if err := awaitGone(ctx, cluster, name); err != nil {
			mistakes = append(mistakes, fmt.Errorf("delete namespace %s: %w", name, err))
		}
	}
	return errors.Join(mistakes...)
}

func awaitGone(ctx context.Context, cluster *kube.Cluster, name string) error {
	for {
		_, err := cluster.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil && ctx.Err() == nil:
			return err
		}
		select {
		case <-time.After(pollRemoval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
