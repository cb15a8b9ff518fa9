// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
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
	err := Log{
		Namespace: Namespace{client, pod.Namespace}, Pod: pod.Name, Container: "main",
		Take: func(line []byte) error {
			lines = append(lines, string(line))
			return nil
		},
	}.Follow(t.Context())
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

// TestFollowLogThatMayNotBeRead: what this user may not do will not do itself, and what is said
// names what to grant. Credentials may be renewed once.
func TestFollowLogThatMayNotBeRead(t *testing.T) {
	tests := map[string]struct {
		err      error
		want     string
		requests int
	}{
		"forbidden": {
			apierrors.NewForbidden(corev1.Resource("pods"), "p",
				errors.New("no RBAC policy matched")),
			"no RBAC policy matched: grant this user the verb get on pods/log in that namespace", 1,
		},
		"unauthorized": {
			apierrors.NewUnauthorized("expired"),
			"expired: this user's credentials are not valid any more: log in again", 2,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pod := podThatEnded(corev1.PodRunning, corev1.ContainerStateTerminated{})
				requests := 0
				_, err := follow(t, pod, func(request int) (string, error) {
					requests = request
					return "", test.err
				})
				if err == nil || !strings.HasPrefix(err.Error(), "read the log of n/p: ") ||
					!strings.HasSuffix(err.Error(), test.want) || requests != test.requests {
					t.Errorf("after %d requests: %v; want %d, and %q", requests, err, test.requests,
						test.want)
				}
			})
		})
	}
}

// TestReopenLog follows the log of a kubelet whose stream stands still after some lines, as that of
// an old one whose log was rotated: once it is opened again, the lines after these come.
func TestReopenLog(t *testing.T) {
	streams := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasSuffix(r.URL.Path, "/log"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"kind":"Pod","apiVersion":"v1",`+
				`"metadata":{"name":"p","namespace":"n"},"status":{"phase":"Succeeded"}}`)
		case streams == 0:
			streams++
			_, _ = io.WriteString(w, "1\n2\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // until the client gives it up
		default:
			_, _ = io.WriteString(w, "2\n3\n")
		}
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}

	reopen, seen := make(chan struct{}, 1), make(map[string]bool)
	err = Log{
		Namespace: Namespace{client, "n"}, Pod: "p", Container: "main", Reopen: reopen,
		Take: func(line []byte) error {
			if string(line) == "2" && !seen["2"] {
				reopen <- struct{}{}
			}
			seen[string(line)] = true
			return nil
		},
	}.Follow(t.Context())
	if err != nil || len(seen) != 3 {
		t.Errorf("lines %v, error %v; want 3 lines", seen, err)
	}
}
