// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// longestLine is the longest line of a log that can be read, in bytes.
const longestLine = 1 << 20

// retryLog is the pause before a log that broke off is opened again.
const retryLog = 200 * time.Millisecond

// FollowLog hands every line of a container's log to take, from the first on, until the container
// has ended or its pod is gone. A log that breaks off is opened again from its beginning: take must
// know which lines it had. An error of take ends it.
func (n Namespace) FollowLog(
	ctx context.Context, pod, container string, take func(line []byte) error,
) error {
	for {
		err := n.readLog(ctx, pod, container, take)
		var refused takeError
		switch {
		case errors.As(err, &refused):
			return refused.error
		case ctx.Err() != nil:
			return ctx.Err()
		}
		found, podErr := n.Client.CoreV1().Pods(n.Name).Get(ctx, pod, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(podErr):
			return fmt.Errorf("read the log of %s/%s: the pod is gone: %w", n.Name, pod, podErr)
		case podErr != nil || !ended(found, container):
		case err == nil:
			// It may have written between the end of that reading and its own end.
			return n.readLog(ctx, pod, container, take)
		case apierrors.IsBadRequest(err):
			// There is no log of a container that has not run, and that will not change.
			return fmt.Errorf("read the log of %s/%s: container %s never ran%s", n.Name, pod,
				container, failure(found))
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

func (n Namespace) readLog(
	ctx context.Context, pod, container string, take func(line []byte) error,
) error {
	options := &corev1.PodLogOptions{Container: container, Follow: true}
	stream, err := n.Client.CoreV1().Pods(n.Name).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		return fmt.Errorf("read the log of %s/%s: %w", n.Name, pod, err)
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
		return fmt.Errorf("read the log of %s/%s: %w", n.Name, pod, err)
	}

	return nil
}

// ended reports whether a container of the pod has ended for good.
func ended(pod *corev1.Pod, container string) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	for _, status := range statuses(pod) {
		if status.Name == container {
			return status.State.Terminated != nil
		}
	}
	return false
}

// failure says which containers of the pod have failed, and how; nothing if none has.
func failure(pod *corev1.Pod) string {
	var text strings.Builder
	for _, status := range statuses(pod) {
		if end := status.State.Terminated; end != nil && end.ExitCode != 0 {
			fmt.Fprintf(&text, "; container %s ended with exit code %d, %s", status.Name,
				end.ExitCode, end.Reason)
			if end.Message != "" {
				fmt.Fprintf(&text, ": %s", end.Message)
			}
		}
	}

	return text.String()
}

// statuses are those of all containers of the pod, in the order in which they are started.
func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}
