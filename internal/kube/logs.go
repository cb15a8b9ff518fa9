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
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// longestLine is the longest line of a log that can be read, in bytes.
const longestLine = 1 << 20

// logPauses are those before a log that broke off, or could not be opened, is opened again.
func logPauses() wait.Backoff {
	return wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.5, Steps: 7}
}

// Log is a container's log.
type Log struct {
	Namespace Namespace
	Pod       string
	Container string
	// Take gets every line, from the first on. A log that breaks off is opened again from its
	// beginning: Take must know which lines it had. An error of its own ends the reading.
	Take func(line []byte) error
	// Reopen, if there is one, has the log opened again: a stream may be silent for ever although
	// there are new lines. Kubelets before 1.27 read on in the file that they have rotated away.
	Reopen <-chan struct{}
	// Broken, if there is one, is told why a log could not be read, each time.
	Broken func(error)
}

// errReopen is why a reading was given up.
var errReopen = errors.New("it is opened again")

// Follow reads the log until the container has ended, its pod is gone, or this user may not read
// it.
func (l Log) Follow(ctx context.Context) error {
	pauses, unauthorized := logPauses(), 0
	var forbidden refusal
	for {
		began := time.Now()
		err := l.read(ctx)
		open := err == nil || time.Since(began) > time.Second && !apierrors.IsForbidden(err)
		if open {
			forbidden.final(nil)
		}

		var refused takeError
		switch {
		case errors.As(err, &refused):
			return refused.error
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errReopen):
			pauses = logPauses()
			continue
		case forbidden.final(err):
			return fmt.Errorf("%w: grant this user the verb get on pods/log in that namespace", err)
		case apierrors.IsUnauthorized(err) && unauthorized > 0:
			// Credentials that have expired are renewed after the first such answer.
			return fmt.Errorf("%w: this user's credentials are not valid any more: log in again",
				err)
		case apierrors.IsUnauthorized(err):
			unauthorized++
		default:
			unauthorized = 0
		}

		if over, end := l.afterBreak(ctx, err); over {
			return end
		}
		if err != nil && l.Broken != nil {
			l.Broken(err)
		}
		if open {
			pauses = logPauses()
		}
		select {
		case <-time.After(pauses.Step()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// afterBreak finds out whether a log that broke off, with an error or without one, is over.
func (l Log) afterBreak(ctx context.Context, err error) (over bool, end error) {
	pod, podErr := l.Namespace.Client.CoreV1().Pods(l.Namespace.Name).Get(ctx, l.Pod,
		metav1.GetOptions{})

	switch {
	case apierrors.IsNotFound(podErr):
		return true, l.wrap(fmt.Errorf("the pod is gone: %w", podErr))
	case podErr != nil || !ended(pod, l.Container):
		return false, nil
	case err == nil:
		// It may have written between the end of that reading and its own end.
		return true, l.read(ctx)
	case apierrors.IsBadRequest(err):
		// There is no log of a container that has not run, and that will not change.
		return true, l.wrap(fmt.Errorf("container %s never ran%s", l.Container, failure(pod)))
	}
	return false, nil
}

// takeError is an error of the reader's own.
type takeError struct{ error }

// read reads the log from its beginning until it breaks off or is to be opened again.
func (l Log) read(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-l.Reopen:
			stop(errReopen)
		case <-ctx.Done():
		}
	})
	defer waiting.Wait()
	defer stop(nil)

	err := l.readLines(ctx)
	if errors.Is(context.Cause(ctx), errReopen) {
		return errReopen
	}
	return err
}

func (l Log) readLines(ctx context.Context) error {
	options := &corev1.PodLogOptions{Container: l.Container, Follow: true}
	stream, err := l.Namespace.Client.CoreV1().Pods(l.Namespace.Name).GetLogs(l.Pod, options).
		Stream(ctx)
	if err != nil {
		return l.wrap(err)
	}
	defer stream.Close()

	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		if err := l.Take(lines.Bytes()); err != nil {
			return takeError{err}
		}
	}
	if err := lines.Err(); err != nil {
		return l.wrap(err)
	}

	return nil
}

func (l Log) wrap(err error) error {
	return fmt.Errorf("read the log of %s/%s: %w", l.Namespace.Name, l.Pod, err)
}

// ended reports whether a container of the pod has ended for good.
func ended(pod *corev1.Pod, container string) bool {
	if PodEnded(pod) {
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
