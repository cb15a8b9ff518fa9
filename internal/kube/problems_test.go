// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

// TestProblems has a pod that does not start for every reason.
func TestProblems(t *testing.T) {
	waiting := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
		}
	}
	ended := func(code int32) corev1.ContainerState {
		return corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error"},
		}
	}
	container := func(state corev1.ContainerState) corev1.PodStatus {
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "main", State: state},
		}}
	}
	tests := []struct {
		name   string
		status corev1.PodStatus
		want   []Problem
	}{
		{"it starts", container(waiting("ContainerCreating", "")), nil},
		{"it waits for the first", container(waiting("PodInitializing", "")), nil},
		{"it has done its work", container(ended(0)), nil},
		{"no such image", container(waiting("ErrImagePull", "not found")), []Problem{{
			Object: "pod p", Reason: "ErrImagePull", Lasting: true,
			Text: "container main: ErrImagePull: not found",
		}}},
		{"no such image of the first container", corev1.PodStatus{
			InitContainerStatuses: []corev1.ContainerStatus{
				{Name: "first", State: waiting("InvalidImageName", "")},
			},
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: "main", State: waiting("PodInitializing", "")},
			},
		}, []Problem{{Object: "pod p", Reason: "InvalidImageName", Lasting: true,
			Text: "container first: InvalidImageName"}}},
		{"it has ended", container(ended(2)), []Problem{{
			Object: "pod p", Reason: "Error", ExitCode: 2,
			Text: "container main: it ended with exit code 2, Error; the end of its log: fake logs",
		}}},
		{"it ends again and again", corev1.PodStatus{
			Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
				Name: "main", State: waiting("CrashLoopBackOff", "back-off 10s"),
				LastTerminationState: ended(1),
			}},
		}, []Problem{{
			Object: "pod p", Reason: "Error", Lasting: true, ExitCode: 1,
			Text: "container main: it ended with exit code 1, Error; the end of its log: fake logs",
		}}},
		{"no room", corev1.PodStatus{Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
			Reason: "Unschedulable", Message: "0/1 nodes are available",
		}}}, []Problem{{Object: "pod p", Reason: "Unschedulable",
			Text: "Unschedulable: 0/1 nodes are available"}}},
		{"its node does not want it", corev1.PodStatus{
			Phase: corev1.PodFailed, Reason: "UnexpectedAdmissionError", Message: "no device",
		}, []Problem{{Object: "pod p", Reason: "UnexpectedAdmissionError",
			Text: "UnexpectedAdmissionError: no device"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := fake.NewClientset(&corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}, Status: test.status,
			})
			got, err := Namespace{client, "n"}.Problems(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			if len(got) > 1 {
				got = got[:1] // the fake selects no fields, and lists each pod twice
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Problems() (-want +got):\n%s", diff)
			}
		})
	}
}

// TestProblemsOfNoPod are those of pods that could not be created.
func TestProblemsOfNoPod(t *testing.T) {
	event := func(name, reason, message string) *corev1.Event {
		return &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}, Type: "Warning",
			Reason: reason, Message: message,
			InvolvedObject: corev1.ObjectReference{Kind: "Job", Name: "agent"},
		}
	}
	refused := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "target"},
		Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue,
			Reason: "FailedCreate", Message: "pods are forbidden",
		}}},
	}
	objects := []runtime.Object{event("a", "FailedCreate", "exceeded quota"),
		event("b", "Unhealthy", "of no interest"), refused}
	for _, some := range []bool{false, true} {
		if some { // others were created: there may be room for the rest later
			objects = append(objects, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}})
		}
		client := fake.NewClientset(objects...)
		got, err := Namespace{client, "n"}.Problems(t.Context(), "", "")
		want := []Problem{
			{Object: "deployment target", Reason: "FailedCreate", Lasting: !some,
				Text: "FailedCreate: pods are forbidden"},
			{Object: "job agent", Reason: "FailedCreate", Lasting: !some,
				Text: "FailedCreate: exceeded quota"},
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Problems() (-want +got), %v:\n%s", err, diff)
		}
	}
}
