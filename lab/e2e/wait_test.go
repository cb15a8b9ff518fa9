// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/netpol-latency/netpol-latency/internal/gate"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// The ports of the server that gates ask for: policy allows the one and not the other.
const (
	blockedPort = 8080
	controlPort = 8081
)

// TestWait has the pods of deploy/wait wait for a policy that comes later, under the strictest pod
// security: their gates open when the engine has enforced it, and not before.
func TestWait(t *testing.T) {
	t.Parallel()
	waitFor(t, soon(t), "init-container.yaml", "startup-probe.yaml", "readiness-gate.yaml")
}

// TestWaitWhileTheEngineFlaps has the engine take the policy back for a moment.
func TestWaitWhileTheEngineFlaps(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--delay", "50ms", "--fault", "flap=150ms@60ms")
	waitFor(t, lab, "init-container.yaml")
}

// waitFromImage runs the gate from its own image.
func waitFromImage(t *testing.T, lab *labtest.Lab) {
	waitFor(t, lab, "init-container.yaml")
}

// waitFor applies manifests of deploy/wait in a namespace, creates the policy while their pods
// wait, and holds what they say against the truth log.
func waitFor(t *testing.T, lab *labtest.Lab, files ...string) {
	t.Helper()
	namespace := lab.Namespace("wait-" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")))
	restrict(t, lab, namespace)
	server := startServer(t, lab, namespace)
	for _, file := range files {
		lab.Kubectl("apply", "-n", namespace, "-f", manifest(t, file, server))
	}

	var waiting []*corev1.Pod
	for _, file := range files {
		waiting = append(waiting, awaitGate(t, lab, namespace, podOf(file)))
	}
	isolate(t, lab, namespace)
	for _, pod := range waiting {
		awaitEnforced(t, lab, namespace, pod.Name)
		if pod.Name != "service" { // whose probe leaves no record
			expectAfterPolicy(t, lab, pod, server, certificate(t, lab, namespace, pod.Name))
		}
	}
}

// podOf is the name of the pod in a manifest.
func podOf(file string) string {
	return map[string]string{"init-container.yaml": "sandbox", "startup-probe.yaml": "service",
		"readiness-gate.yaml": "guarded"}[file]
}

// manifest is a manifest of deploy/wait about the server in the place of its examples.
func manifest(t *testing.T, file string, server *corev1.Pod) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy/wait", file))
	must(t, err)
	changed := strings.NewReplacer(
		"tcp://169.254.169.254:80", fmt.Sprintf("tcp://%s:%d", server.Status.PodIP, blockedPort),
		"tcp://proxy.example:3128", fmt.Sprintf("tcp://%s:%d", server.Status.PodIP, controlPort),
		"registry.example/team/untrusted:v1", "nginx-unprivileged",
		"      image: registry.example/team/service:v1", "      image: busybox\n"+
			"      command: [sleep, \"1000\"]",
		"    runAsNonRoot: true", "    runAsNonRoot: true\n    runAsUser: 65532",
	).Replace(string(text))
	path := filepath.Join(t.TempDir(), file)
	must(t, os.WriteFile(path, []byte(changed), 0o600))
	return path
}

// startServer starts what the gates ask for.
func startServer(t *testing.T, lab *labtest.Lab, namespace string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "server"},
		Spec: runner.PodSpec(corev1.Container{
			Name: "server", Image: "nginx-unprivileged",
			Ports: []corev1.ContainerPort{
				{ContainerPort: blockedPort}, {ContainerPort: controlPort},
			},
			SecurityContext: runner.Restricted(),
		}),
	}
	_, err := lab.Client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	must(t, err)
	return lab.AwaitReady(namespace, pod.Name, patience)
}

// awaitGate waits until the gate of a pod probes.
func awaitGate(t *testing.T, lab *labtest.Lab, namespace, name string) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	lab.Await("the gate of pod "+name, patience, func(ctx context.Context) (ok bool, err error) {
		pod, err = lab.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		all := append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...)
		for _, one := range all {
			if one.State.Running != nil && one.Name != "install" {
				return true, nil
			}
		}
		return false, nil
	})
	if labtest.IsReady(pod) {
		t.Errorf("pod %s is ready before there is a policy", name)
	}
	return pod
}

// isolate lets all pods of the namespace open connections to the control port, and those of the API
// server, alone.
func isolate(t *testing.T, lab *labtest.Lab, namespace string) {
	t.Helper()
	var ports []networkingv1.NetworkPolicyPort
	for _, number := range []int32{controlPort, 6443} {
		ports = append(ports, networkingv1.NetworkPolicyPort{
			Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(number)),
		})
	}
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "isolate"},
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress:      []networkingv1.NetworkPolicyEgressRule{{Ports: ports}},
		},
	}
	_, err := lab.Client.NetworkingV1().NetworkPolicies(namespace).Create(t.Context(), policy,
		metav1.CreateOptions{})
	must(t, err)
}

// awaitEnforced waits until a pod is ready, or has the condition of its readiness gate, which the
// lab's node agent does not look for by itself.
func awaitEnforced(t *testing.T, lab *labtest.Lab, namespace, name string) {
	t.Helper()
	lab.Await("pod "+name+" to go on", patience, func(ctx context.Context) (bool, error) {
		pod, err := lab.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		enforced := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == "example.com/enforced" && c.Status == corev1.ConditionTrue
		})
		return enforced || labtest.IsReady(pod), nil
	})
}

// certificate is what a gate has written into its log.
func certificate(
	t *testing.T, lab *labtest.Lab, namespace, pod string,
) (proof gate.Certificate) {
	t.Helper()
	log := lab.Kubectl("logs", "-n", namespace, pod, "-c", "enforced")
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &proof) == nil {
			return proof
		}
	}
	t.Fatalf("the gate of pod %s has no certificate:\n%s", pod, log)
	return proof
}

// expectAfterPolicy checks that a gate opened after the newest flip that the truth log has of its
// pair, and that its bracket has that flip.
func expectAfterPolicy(
	t *testing.T, lab *labtest.Lab, pod, server *corev1.Pod, proof gate.Certificate,
) {
	t.Helper()
	records, err := truth.Read(lab.Truth)
	must(t, err)
	flips := truth.Flips(records, truth.Pair{
		FromUID: string(pod.UID), ToUID: string(server.UID), Protocol: "TCP", Port: blockedPort,
		To: netip.MustParseAddr(server.Status.PodIP),
	})[0]
	if len(flips) == 0 || flips[len(flips)-1].Allowed || proof.Result != gate.Open {
		t.Fatalf("pod %s: the flips are %v, and the gate says %+v", pod.Name, flips, proof)
	}

	flip := flips[len(flips)-1]
	// What was sent just before the change may have met the filter after it.
	const way = time.Millisecond
	if after := proof.Ended.Sub(flip.Before); after < proof.Hold-way {
		t.Errorf("pod %s: the gate opens %s after the change; want %s or more", pod.Name, after,
			proof.Hold)
	}
	found := proof.Expectations[1].Addresses[0]
	if found.Upper.Before(flip.Before) || found.Lower.After(flip.After) {
		t.Errorf("pod %s: the bracket [%s, %s] misses the commit [%s, %s]", pod.Name,
			stamp(found.Lower), stamp(found.Upper), stamp(flip.Before), stamp(flip.After))
	}
	t.Logf("pod %s: the gate opens %s after the change, %d changes, resolution %s", pod.Name,
		proof.Ended.Sub(flip.After), found.Changes, found.Resolution)
}

// TestWaitFromOutside asks for a pod with labels whether policy is in force for it: it is, since it
// exists, and nothing is left of the pod.
func TestWaitFromOutside(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	namespace := lab.Namespace("wait-from-outside")
	restrict(t, lab, namespace)
	server := startServer(t, lab, namespace)
	isolate(t, lab, namespace)

	address := "tcp://" + server.Status.PodIP
	blocked, control := fmt.Sprintf("%s:%d", address, blockedPort),
		fmt.Sprintf("%s:%d", address, controlPort)
	for _, test := range []struct {
		name string
		code int
		want gate.Result
		args []string
	}{
		{"open", 0, gate.Open, []string{"--blocked", blocked, "--control", control}},
		{"the contrary", exitInvalid, gate.Opposite,
			[]string{"--blocked", control, "--timeout", "2s"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := command(t.Context(), t, lab, append(test.args, "--json", "--quiet")...)
			cmd.Args = slices.Insert(cmd.Args, 1, "wait", "--from", "app=sandbox", "--namespace",
				namespace)
			var messages strings.Builder
			cmd.Stderr = &messages
			output, err := cmd.Output()
			var proof gate.Certificate
			if json.Unmarshal(output, &proof) != nil || proof.Result != test.want ||
				cmd.ProcessState.ExitCode() != test.code {
				t.Errorf("it ends with %v, says %q and writes %q", err, &messages, output)
			}
			if left := pods(t, lab, namespace, "app=sandbox"); len(left) > 0 {
				t.Errorf("pod %s is left", left[0].Name)
			}
		})
	}
}
