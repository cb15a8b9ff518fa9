// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// follow follows the log of container "main" of a pod, and returns its lines. The answers to the
// requests for the log are those of answer, which counts them from 1.
func follow(
	t *testing.T, pod *corev1.Pod, answer func(request int) (string, error),
) ([]string, error) {
	t.Helper()
	client := fake.NewClientset(pod)
	requests := 0
	client.PrependReactor(
		"get",
		"pods",
		func(action clienttesting.Action) (bool, runtime.Object, error) {
			if action.GetSubresource() != "log" {
				return false, nil, nil
			}
			requests++
			text, err := answer(requests)
			return true, &runtime.Unknown{Raw: []byte(text)}, err
		},
	)
	var lines []string
	err := Namespace{
		client,
		pod.Namespace,
	}.FollowLog(
		t.Context(),
		pod.Name,
		"main",
		func(line []byte) error {
			lines = append(lines, string(line))
			return nil
		},
	)
	return lines, err
}

func podThatEnded(phase corev1.PodPhase, first corev1.ContainerStateTerminated) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"},
		Status: corev1.PodStatus{Phase: phase, InitContainerStatuses: []corev1.ContainerStatus{
			{Name: "first", State: corev1.ContainerState{Terminated: &first}},
		}},
	}
}

var errNeverRan = apierrors.NewBadRequest(
	`container "main" in pod "p" is waiting to start: PodInitializing`,
)

// TestFollowLogOfContainerThatNeverRan: the first container of the pod has failed, so that the
// second has no log and will have none. To wait for it would be to wait for ever.
func TestFollowLogOfContainerThatNeverRan(t *testing.T) {
	pod := podThatEnded(corev1.PodFailed, corev1.ContainerStateTerminated{ExitCode: 3,
		Reason: "Error", Message: "no file"})
	_, err := follow(t, pod, func(int) (string, error) { return "", errNeverRan })
	want := "read the log of n/p: container main never ran; " +
		"container first ended with exit code 3, Error: no file"
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v; want %s", err, want)
	}
}

// TestFollowLogComesBack breaks a log off: it is opened again, also when the container has ended
// meanwhile, and also when it did not yet run at first.
func TestFollowLogComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pod := podThatEnded(corev1.PodSucceeded, corev1.ContainerStateTerminated{})
		lines, err := follow(t, pod, func(request int) (string, error) {
			if request == 1 {
				return "", errors.New("connection reset")
			}
			return "one\ntwo", nil
		})
		// Whatever it has said before its end is read once more: take knows what it had.
		if err != nil || strings.Join(lines, " ") != "one two one two" {
			t.Errorf("lines %q, error %v; want all lines, twice", lines, err)
		}
		pod.Status.Phase = corev1.PodRunning
		requests := 0
		if _, err := follow(t, pod, func(request int) (string, error) {
			if requests = request; request < 3 {
				return "", errNeverRan
			}
			return "", takeError{errors.New("enough")}
		}); err == nil || requests != 3 {
			t.Errorf(
				"%d requests, error %v; want 3: a container that has not ended may still start",
				requests,
				err,
			)
		}
	})
}
