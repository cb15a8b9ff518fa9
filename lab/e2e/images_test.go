// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/trial"
)

// shipped are the images of a release.
func shipped() []string {
	return []string{"netpol-latency", "netpol-latency-wait",
		"pod-creation-reachability-latency", "policy-creation-enforcement-latency"}
}

// buildImages builds the project's images as a release does, for this machine, and returns the
// lab's flags for them.
func buildImages(t *testing.T) []string {
	t.Helper()
	directory := t.TempDir()
	release := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(labtest.Binary(t)),
		"netpol-latency-release"),
		"images", "--source", "../..", "--output", directory, "--platform", "linux/"+runtime.GOARCH,
		"--version", "v0.0.0-test")
	if said, err := release.CombinedOutput(); err != nil {
		t.Fatalf("build the images: %v:\n%s", err, said)
	}
	var flags []string
	for _, name := range shipped() {
		flags = append(flags, "--image", name+"=oci:"+filepath.Join(directory, name)+":v0.0.0-test")
	}
	return flags
}

// What a release ships is what measures here: agents and targets of a run, and both test clients,
// started as ClusterLoader2 starts them, each from the files of its own image.
func TestImages(t *testing.T) {
	t.Parallel()
	// The engine takes longer than a program takes to start from an image, if nothing else needs
	// the processors.
	lab := labtest.Start(t, append(buildImages(t), "--delay", "1s")...)
	t.Run("run", func(t *testing.T) { runFromImages(t, lab) })
	for scenario, program := range map[string]string{
		"pod-creation":    "pod-creation-reachability-latency",
		"policy-creation": "policy-creation-enforcement-latency",
	} {
		t.Run(scenario, func(t *testing.T) { clientFromImage(t, lab, scenario, program) })
	}
	t.Run("wait", func(t *testing.T) { waitFromImage(t, lab) })
	t.Run("no shell", func(t *testing.T) { expectNoShell(t, lab) })
}

// runFromImages measures with agents and targets of the image, TCP and UDP, and looks at what they
// ran from.
func runFromImages(t *testing.T, lab *labtest.Lab) {
	samples, _ := measureRun(t, lab, exitOK, "policy-creation", "pod-creation", "--targets", "5")
	expectTrue(t, lab, samples, "TCP")
	directory := filepath.Join(t.TempDir(), "results")
	output, err := command(t.Context(), t, lab, "run", "policy-creation", "--targets", "5",
		"--protocol", "UDP", "--keep", "-o", directory).CombinedOutput()
	if err != nil {
		t.Fatalf("run --keep: %v:\n%s", err, output)
	}
	_, samples, err = result.Directory(directory).Read()
	must(t, err)
	expectTrue(t, lab, samples, "UDP")
	list, err := lab.Client.CoreV1().Pods("").List(t.Context(),
		metav1.ListOptions{LabelSelector: "netpol-latency/run"})
	must(t, err)
	if len(list.Items) < 6 {
		t.Errorf("the run has left %d pods; want 5 targets and an agent", len(list.Items))
	}
	for _, pod := range list.Items {
		expectImageID(t, pod, "netpol-latency")
	}
	if output, err := command(t.Context(), t, lab, "cleanup",
		"--all").CombinedOutput(); err != nil {
		t.Fatalf("cleanup: %v:\n%s", err, output)
	}
}

// expectImageID checks that all containers of a pod run from the image, and not from a program of
// this machine.
func expectImageID(t *testing.T, pod corev1.Pod, image string) {
	t.Helper()
	for _, status := range pod.Status.ContainerStatuses {
		if !strings.HasPrefix(status.ImageID, image+"@sha256:") {
			t.Errorf("pod %s runs %q; want the image %s", pod.Name, status.ImageID, image)
		}
	}
}

// clientFromImage measures with a test client whose container is what ClusterLoader2 makes of it: a
// shell that starts the program in the working directory, with quoted flags.
func clientFromImage(t *testing.T, lab *labtest.Lab, scenario, program string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	run := newTrial(t, lab, scenario, 10)
	must(t, run.Setup(ctx))
	startByShell(ctx, t, run, program)
	for _, client := range clientPods(t, run) {
		if client.DeletionTimestamp != nil {
			continue
		}
		expectImageID(t, client, program)
		if command := strings.Join(client.Spec.Containers[0].Command,
			" "); !strings.HasPrefix(command, "sh -c ./"+program+" -HostNamespace=\"") {
			t.Errorf("the client was started by %q", command)
		}
	}
	must(t, run.Trigger(ctx))
	found, err := run.Collect(ctx)
	must(t, err)
	expectMeasured(t, found, 10)
	must(t, run.Remove(ctx))
}

// startByShell replaces the client by one that a shell starts, and waits until it is ready and the
// other one gone.
func startByShell(ctx context.Context, t *testing.T, run trial.Trial, program string) {
	t.Helper()
	deployments := run.Client.AppsV1().Deployments(run.ClientNamespace())
	deployment, err := deployments.Get(ctx, run.Scenario+"-test-client", metav1.GetOptions{})
	must(t, err)
	line := "./" + program
	for _, argument := range deployment.Spec.Template.Spec.Containers[0].Args {
		name, value, _ := strings.Cut(argument, "=")
		line += fmt.Sprintf(" %s=%q", name, value)
	}
	type object = map[string]any
	patch, err := json.Marshal([]object{
		{"op": "replace", "path": "/spec/strategy", "value": object{"type": "Recreate"}},
		{"op": "add", "path": "/spec/template/spec/containers/0/command",
			"value": []string{"sh", "-c", line}},
		{"op": "remove", "path": "/spec/template/spec/containers/0/args"},
	})
	must(t, err)
	_, err = deployments.Patch(ctx, deployment.Name, types.JSONPatchType, patch,
		metav1.PatchOptions{})
	must(t, err)
	must(t, run.Shell(ctx, run.AwaitClient()))
}

// expectNoShell checks that the image of agents and targets has nothing to break out with.
func expectNoShell(t *testing.T, lab *labtest.Lab) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "shell"},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "shell", Image: "netpol-latency", Command: []string{"sh", "-c", "true"},
			}}},
	}
	namespace := lab.Namespace("no-shell")
	_, err := lab.Client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	must(t, err)
	lab.Await("the pod to end", patience, func(ctx context.Context) (bool, error) {
		found, err := lab.Client.CoreV1().Pods(namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil || len(found.Status.ContainerStatuses) == 0 ||
			found.Status.ContainerStatuses[0].State.Terminated == nil {
			return false, err
		}
		ended := found.Status.ContainerStatuses[0].State.Terminated
		if ended.Reason != "StartError" || !strings.Contains(ended.Message,
			`start "sh": executable file not found`) {
			t.Errorf("a shell ended with %s: %s", ended.Reason, ended.Message)
		}
		return true, nil
	})
}
