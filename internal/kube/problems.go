// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// Problem is what keeps a pod from starting, in the words of who says so.
type Problem struct {
	// Object is the pod, or what was to create pods.
	Object string
	// Reason is the word for it, and Text all that is known.
	Reason, Text string
	// Lasting problems are those that are tried to be overcome again and again, such as an image
	// that there is not, or an admission that lets no pod be created at all. Others may be over
	// when the cluster has more room, or have ended their pod and not the one that takes its place.
	Lasting bool
	// ExitCode is that of a container that has ended, 0 if none has.
	ExitCode int32
}

func (p Problem) String() string { return fmt.Sprintf("%s does not start: %s", p.Object, p.Text) }

// mostAsked is how many pods and events are looked at: what is wrong with many is wrong with these.
const mostAsked = 100

// Problems are what keeps pods that the label selector matches from starting, as far as pods and
// events tell. Where the names of those who create pods begin with a prefix, others do not count.
func (n Namespace) Problems(ctx context.Context, prefix, selector string) ([]Problem, error) {
	var found []Problem
	pods := 0
	// Those that run come last: there a container may have ended again.
	notUp := fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodRunning)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)))
	up := fields.OneTermEqualSelector("status.phase", string(corev1.PodRunning))
	for _, phase := range []fields.Selector{notUp, up} {
		list, err := n.Client.CoreV1().Pods(n.Name).List(ctx, metav1.ListOptions{
			LabelSelector: selector, FieldSelector: phase.String(), Limit: mostAsked,
		})
		if err != nil {
			return nil, fmt.Errorf("list pods: %w", err)
		}
		pods += len(list.Items)
		for _, pod := range list.Items {
			if problem, ok := n.problemOf(ctx, &pod); ok {
				found = append(found, problem)
			}
		}
	}

	for _, warning := range append(n.conditions(ctx, selector), n.warnings(ctx, prefix)...) {
		warning.Lasting = pods == 0 && warning.Reason == failedCreate
		found = append(found, warning)
	}
	return found, nil
}

// NodeProblem is why a node does not do what it is asked, empty if it does, or if this user may not
// know.
func (n Namespace) NodeProblem(ctx context.Context, name string) string {
	if name == "" {
		return ""
	}
	node, err := n.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("node %s is gone", name)
	}
	if err != nil {
		return ""
	}

	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return fmt.Sprintf("node %s is not ready: %s", name,
				join(condition.Reason, condition.Message))
		}
	}
	return ""
}

// problemOf is what keeps a pod from starting, false if it shows nothing of the kind.
func (n Namespace) problemOf(ctx context.Context, pod *corev1.Pod) (Problem, bool) {
	if pod.DeletionTimestamp != nil {
		return Problem{}, false // whoever ends it, as by an eviction, is why
	}
	problem := Problem{Object: "pod " + pod.Name}
	for _, status := range statuses(pod) {
		state := n.stateOf(ctx, pod, status)
		if state.Reason != "" {
			state.Object, state.Lasting = problem.Object, status.State.Waiting != nil
			state.Text = fmt.Sprintf("container %s: %s", status.Name, state.Text)
			return state, true
		}
	}

	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			problem.Reason = condition.Reason
			problem.Text = join(condition.Reason, condition.Message)
			return problem, true
		}
	}

	if pod.Status.Phase == corev1.PodRunning && !PodReady(pod) {
		if text := n.NodeProblem(ctx, pod.Spec.NodeName); text != "" {
			problem.Reason, problem.Text = "NodeNotReady", text
			return problem, true
		}
	}

	if pod.Status.Phase == corev1.PodFailed { // by its node, which evicts or does not admit it
		problem.Reason = cmp.Or(pod.Status.Reason, string(pod.Status.Phase))
		problem.Text = join(problem.Reason, pod.Status.Message)
		return problem, true
	}
	return Problem{}, false
}

// stateOf is why a container does not run; nothing if it does, or has not been tried yet.
func (n Namespace) stateOf(
	ctx context.Context, pod *corev1.Pod, status corev1.ContainerStatus,
) Problem {
	waiting, ended := status.State.Waiting, status.State.Terminated
	again := ended == nil && status.LastTerminationState.Terminated != nil && !status.Ready
	if again {
		ended = status.LastTerminationState.Terminated
	}

	switch {
	case ended != nil && ended.ExitCode != 0:
		text := fmt.Sprintf("it ended with exit code %d, %s", ended.ExitCode,
			join(ended.Reason, ended.Message))
		if last := n.lastWords(ctx, pod.Name, status.Name, again); last != "" {
			text += "; the end of its log: " + last
		}
		return Problem{Reason: cmp.Or(ended.Reason, "Error"), Text: text, ExitCode: ended.ExitCode}
	case waiting == nil, waiting.Reason == "", waiting.Reason == "PodInitializing",
		waiting.Reason == "ContainerCreating":
		return Problem{}
	}
	return Problem{Reason: waiting.Reason, Text: join(waiting.Reason, waiting.Message)}
}

// lastWords are the last lines of a container's log, nothing if there is none.
func (n Namespace) lastWords(ctx context.Context, pod, container string, previous bool) string {
	const lines, bytes = 3, 1000
	stream, err := n.Client.CoreV1().Pods(n.Name).GetLogs(pod, &corev1.PodLogOptions{
		Container: container, Previous: previous, TailLines: new(int64(lines)),
		LimitBytes: new(int64(bytes)),
	}).Stream(ctx)
	if err != nil {
		return ""
	}
	defer stream.Close()

	text, err := io.ReadAll(io.LimitReader(stream, bytes))
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// failedCreate is the reason of those who could not create a pod: quota or admission refused it.
const failedCreate = "FailedCreate"

// conditions are those of deployments that could not create their pods. They tell the same as
// events, to who may not read these.
func (n Namespace) conditions(ctx context.Context, selector string) []Problem {
	list, err := n.Client.AppsV1().Deployments(n.Name).List(ctx,
		metav1.ListOptions{LabelSelector: selector, Limit: mostAsked})
	if err != nil {
		return nil
	}

	var found []Problem
	for _, one := range list.Items {
		for _, condition := range one.Status.Conditions {
			if condition.Type == appsv1.DeploymentReplicaFailure &&
				condition.Status == corev1.ConditionTrue {
				found = append(found, Problem{
					Object: "deployment " + one.Name, Reason: condition.Reason,
					Text: join(condition.Reason, condition.Message),
				})
			}
		}
	}
	return found
}

// warnings are events that tell of pods that could not even be created, or prepared on their nodes.
// Who may not read events learns of the rest.
func (n Namespace) warnings(ctx context.Context, prefix string) []Problem {
	list, err := n.Client.CoreV1().Events(n.Name).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("type", corev1.EventTypeWarning).String(),
		Limit:         mostAsked,
	})
	if err != nil {
		return nil
	}

	told := []string{failedCreate, "FailedCreatePodSandBox", "FailedMount", "FailedAttachVolume",
		"NetworkNotReady"}
	var found []Problem
	for _, event := range list.Items {
		if slices.Contains(told, event.Reason) &&
			strings.HasPrefix(event.InvolvedObject.Name, prefix) {
			found = append(found, Problem{
				Object: strings.ToLower(event.InvolvedObject.Kind) + " " +
					event.InvolvedObject.Name,
				Reason: event.Reason, Text: join(event.Reason, event.Message),
			})
		}
	}
	return found
}

// join is a reason with its message, if it has one.
func join(reason, message string) string {
	if message == "" {
		return reason
	}
	return strings.TrimPrefix(reason+": "+message, ": ")
}
