// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// longestLine is the longest line of a log that can be read, in bytes.
const longestLine = 1 << 20

// retryLog is the pause before a log that broke off is opened again.
const retryLog = 200 * time.Millisecond

// FollowLog hands every line of a container's log to take, from the first on, until the container has
// ended or its pod is gone. A log that breaks off is opened again from its beginning: take must know
// which lines it had. An error of take ends it.
func FollowLog(
	ctx context.Context, client kubernetes.Interface, namespace, pod, container string, take func(line []byte) error,
) error {
	for {
		err := readLog(ctx, client, namespace, pod, container, take)
		var refused takeError
		switch {
		case errors.As(err, &refused):
			return refused.error
		case ctx.Err() != nil:
			return ctx.Err()
		}
		over, podErr := containerEnded(ctx, client, namespace, pod, container)
		switch {
		case apierrors.IsNotFound(podErr):
			return fmt.Errorf("read the log of %s/%s: the pod is gone: %w", namespace, pod, podErr)
		case over && err == nil:
			// It may have written between the end of that reading and its own end.
			return readLog(ctx, client, namespace, pod, container, take)
		}
		select {
		case <-time.After(retryLog):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// takeError is an error of the reader's own.
type takeError struct{ error }

func readLog(
	ctx context.Context, client kubernetes.Interface, namespace, pod, container string, take func(line []byte) error,
) error {
	options := &corev1.PodLogOptions{Container: container, Follow: true}
	stream, err := client.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		return fmt.Errorf("read the log of %s/%s: %w", namespace, pod, err)
	}
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		if err := take(lines.Bytes()); err != nil {
			return takeError{err}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the log of %s/%s: %w", namespace, pod, err)
	}
	return nil
}

// containerEnded reports whether a container has ended for good.
func containerEnded(ctx context.Context, client kubernetes.Interface, namespace, name, container string) (bool, error) {
	pod, err := client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true, nil
	}
	statuses := append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...)
	for _, status := range statuses {
		if status.Name == container {
			return status.State.Terminated != nil, nil
		}
	}
	return false, nil
}
