// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"bytes"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/runner"
)

// agentName is the name of the agent's pod, and of the role that lets it read its plan.
const agentName = "agent"

// agentPatience is how long an agent may take to do what its plan says.
const agentPatience = 2 * time.Minute

// startAgent puts an agent of "netpol-latency run" into the place of the test client, in the middle
// of an iteration: it has proved the old state, probes at the pace of a trigger, and reads and
// watches a policy that never comes.
func (t Trial) startAgent(ctx context.Context) error {
	namespace, client := t.ClientNamespace(), t.Scenario+"-test-client"
	for _, step := range []string{
		"delete deployment " + client,
		"wait --for delete pod --selector test=np-test-client --timeout 1m",
		"create configmap " + protocol.PlanName,
		"create role " + agentName + " --verb get,list,watch --resource configmaps " +
			"--resource-name " + protocol.PlanName,
		"create rolebinding " + agentName + " --role " + agentName + " --serviceaccount " +
			namespace + ":" + client,
	} {
		if err := t.Shell(ctx, "kubectl -n "+namespace+" "+step); err != nil {
			return err
		}
	}

	port, err := t.targetPort(ctx)
	if err != nil {
		return err
	}
	plan := protocol.Plan{
		Iteration: 1, Step: protocol.StepProve, Scenario: t.Scenario,
		Expect: []protocol.Expect{{Port: port, Want: measure.StateAllowed.String()}},
	}
	if err := t.publish(ctx, plan); err != nil {
		return err
	}
	if err := t.createAgent(ctx); err != nil {
		return err
	}
	proved := fmt.Sprintf(`"proved":{"round":1,"pairs":%d}`, t.Targets)
	if err := t.awaitAgent(ctx, proved); err != nil {
		return err
	}

	plan.Step, plan.Ping = protocol.StepTrigger, 1
	plan.Changes = []protocol.Object{{
		Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies",
		Namespace: namespace, Name: t.allowName(),
	}}
	if err := t.publish(ctx, plan); err != nil {
		return err
	}
	return t.awaitAgent(ctx, `"clock":{"ping":1,`)
}

// targetPort is where the targets serve.
func (t Trial) targetPort(ctx context.Context) (int, error) {
	targets, err := t.Client.CoreV1().Pods(t.TargetNamespace()).List(ctx, metav1.ListOptions{
		LabelSelector: "target=" + t.Scenario, Limit: 1,
	})
	if err != nil {
		return 0, fmt.Errorf("list the targets: %w", err)
	}
	return int(targets.Items[0].Spec.Containers[0].Ports[0].ContainerPort), nil
}

// publish tells the agent what to do.
func (t Trial) publish(ctx context.Context, plan protocol.Plan) error {
	_, err := t.Client.CoreV1().ConfigMaps(t.ClientNamespace()).Update(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: protocol.PlanName},
		Data:       map[string]string{protocol.PlanName: plan.String()},
	}, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("update the agent's plan: %w", err)
	}
	return nil
}

// createAgent creates the agent's pod, with the labels and the permissions of the test client.
func (t Trial) createAgent(ctx context.Context) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:   agentName,
			Labels: map[string]string{"test": "np-test-client", "type": t.Scenario},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: t.Scenario + "-test-client",
			Containers: []corev1.Container{{
				Name: agentName, Image: runner.DefaultImage,
				ImagePullPolicy: corev1.PullIfNotPresent,
				Args: append([]string{
					"agent", "--namespace=" + t.ClientNamespace(),
					"--target-namespace=" + t.TargetNamespace(),
					"--target-selector=target=" + t.Scenario,
				}, t.ClientArgs...),
			}},
		},
	}
	_, err := t.Client.CoreV1().Pods(t.ClientNamespace()).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create the agent: %w", err)
	}
	return nil
}

// awaitAgent waits until the agent has written a text.
func (t Trial) awaitAgent(ctx context.Context, text string) error {
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, agentPatience, true,
		func(ctx context.Context) (bool, error) {
			log, err := t.Client.CoreV1().Pods(t.ClientNamespace()).
				GetLogs(agentName, &corev1.PodLogOptions{}).DoRaw(ctx)
			return err == nil && bytes.Contains(log, []byte(text)), nil
		})
	if err != nil {
		return fmt.Errorf("await %s of the agent: %w", text, err)
	}
	return nil
}
