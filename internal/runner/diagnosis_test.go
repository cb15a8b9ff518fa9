// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// waitingPod is a pod of run x whose container waits for a reason.
func waitingPod(reason string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "p", Labels: ownLabels("x")},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name:  "main",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
		}}},
	}
}

// TestDiagnosed waits for pods that never start: why is said within seconds, once, and ends the
// wait when it lasts. What a cluster may overcome does not end it.
func TestDiagnosed(t *testing.T) {
	unschedulable := waitingPod("")
	unschedulable.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable",
	}}
	unsupported := waitingPod("")
	unsupported.Status.ContainerStatuses[0].State = corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: ExitUnsupported},
	}
	const noKernel = "pod p does not start: container main: it ended with exit code 69"
	tests := []struct {
		name  string
		pod   *corev1.Pod
		says  string
		after time.Duration // when the wait ends
		want  string
	}{
		{"no such image", waitingPod("ErrImagePull"), "pod p does not start: container main: " +
			"ErrImagePull", 33 * time.Second, "start pods: pod p does not start"},
		{"no room", unschedulable, "pod p does not start: Unschedulable", time.Hour,
			errSetupTimeout.Error()},
		{"no such kernel", unsupported, noKernel + ", ; the end of its log: fake logs",
			3 * time.Second, "start pods: " + noKernel},
		{"slow", waitingPod("ContainerCreating"), "", time.Hour, errSetupTimeout.Error()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var says []string
				var said time.Duration
				env := &environment{
					options: Options{RunID: "x"},
					cluster: &kube.Cluster{Interface: fake.NewClientset(test.pod)},
					progress: func(now Progress) {
						says, said = append(says, now.Problem), time.Since(began)
					},
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errSetupTimeout)
				defer cancel()
				err := env.diagnosed(ctx, "agents", func(ctx context.Context) error {
					<-ctx.Done()
					return context.Cause(ctx)
				})

				if got := time.Since(began); got != test.after || err == nil ||
					!strings.Contains(err.Error(), test.want) {
					t.Errorf("the wait ends after %s with %v; want %s and %s", got, err, test.after,
						test.want)
				}
				if got := strings.Join(says, "; "); got != test.says || said > 15*time.Second {
					t.Errorf("it says %q after %s; want %q", got, said, test.says)
				}
			})
		})
	}
}

// TestNothingStarted accounts for pods none of which has measured anything: that is no result.
func TestNothingStarted(t *testing.T) {
	it := &iteration{name: "pod-startup", number: 1, env: &environment{
		options: Options{RunID: "x"},
		cluster: &kube.Cluster{Interface: fake.NewClientset(waitingPod("ErrImagePull"))},
	}}
	it.env.parameters.AgentNamespace = "agents"
	it.env.collector = newCollector(kube.Namespace{}, setting.ClockAuto)
	logs := &startupLogs{iteration: it, pods: 1}
	err := it.anyStarted(logs.account(), errSetupTimeout)
	if !errors.Is(err, errSetupTimeout) || !strings.Contains(err.Error(), "ErrImagePull") {
		t.Errorf("the error is %v; want that it took too long, and the image", err)
	}
	if err := it.anyStarted(logs.account(), nil); err == nil {
		t.Error("pods that all failed are no error")
	}
}
