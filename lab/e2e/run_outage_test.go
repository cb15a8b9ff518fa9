// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// An API server that is restarted in each phase of a run costs it nothing but time.
func TestRunAcrossRestarts(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--delay", "1s")
	run := begin(t, lab, "policy-deny", "--targets=4", "--repeat=2", "--target-image=nginx")
	for _, phase := range []string{
		"starting targets", "proving the old state", "measuring", "cleaning up",
	} {
		run.await(t, phase)
		restartAPI(lab)
	}

	code, samples := run.end(t)
	if code != exitOK || len(samples) != 8 {
		t.Errorf("exit code %d, %d samples; want %d and 8:\n%s", code, len(samples), exitOK,
			run.printed.String())
	}
	expectTrue(t, lab, samples, "TCP")
	expectNothingLeft(t, lab, run.id)
}

// restartAPI kills the API server, and waits until it is back.
func restartAPI(lab *labtest.Lab) {
	lab.Component("kill", "kube-apiserver")
	lab.Component("start", "kube-apiserver")
	lab.AwaitAPI()
}

// Logs that are rotated, on a node whose kubelet does not notice it for those who follow them, lose
// no line. Each file is long enough for the lines of one iteration.
func TestRunAcrossRotations(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--delay", "300ms", "--log-size", "30000", "--log-stall")
	run := begin(t, lab, "policy-deny", "--targets=10", "--repeat=3", "--target-image=nginx")
	for _, phase := range []string{"proving the old state", "measuring", "measuring"} {
		run.await(t, phase)
		lab.Node("rotate-logs", "node-0") // others become long enough by themselves
	}

	code, samples := run.end(t)
	rotated, err := filepath.Glob(filepath.Join(lab.Dir, "nodes/node-0/pods/*/agent/*.log.*"))
	must(t, err)
	if code != exitOK || len(samples) != 30 || len(rotated) < 3 {
		t.Errorf("exit code %d, %d samples, %d rotations; want %d, 30 and some:\n%s", code,
			len(samples), len(rotated), exitOK, run.printed.String())
	}
	expectTrue(t, lab, samples, "TCP")
	expectNothingLeft(t, lab, run.id)
}

// A node that gets not ready costs the pairs of its agents, in the iteration under way, and the run
// the seconds that it takes to find out. The later iterations are of the others.
func TestRunNodeNotReady(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--nodes", "2", "--delay", "3s")
	run, node := runOnTwoNodes(t, lab)
	lab.Node("not-ready", node)
	code, samples := run.end(t)
	lab.Node("ready", node)

	var measured []measure.Sample
	unobserved, first := 0, samples[0].Iteration
	for _, sample := range samples {
		switch {
		case sample.Status == measure.Measured:
			measured = append(measured, sample)
		case sample.Status == measure.Unobserved && sample.Iteration == first:
			unobserved++
		default:
			t.Errorf("iteration %d: a pair is %s: %s", sample.Iteration, sample.Status,
				sample.Reason)
		}
	}
	expectTrue(t, lab, measured, "TCP")
	says := "is not heard: node " + node + " is not ready: KubeletNotReady"
	if code != exitFailure || unobserved == 0 || unobserved == 8 || len(measured) == 8-unobserved ||
		!strings.Contains(run.printed.String(), says) {
		t.Errorf("exit code %d, %d unobserved in the first iteration, %d measured; want %q:\n%s",
			code, unobserved, len(measured), says, run.printed.String())
	}
	expectNothingLeft(t, lab, run.id)
}

// runOnTwoNodes begins a run that measures with agents on two nodes, and names one of these. Where
// agents come is the scheduler's matter: it is tried until they are on both.
func runOnTwoNodes(t *testing.T, lab *labtest.Lab) (*underWay, string) {
	t.Helper()
	for range 10 {
		run := begin(t, lab, "policy-deny", "--targets=8", "--agents=4", "--repeat=2",
			"--target-image=nginx")
		run.await(t, "measuring")
		nodes := make(map[string]bool)
		for _, role := range []string{"agent", "target"} {
			for _, pod := range podsOf(t, lab, run.id, role) {
				nodes[role+" "+pod.Spec.NodeName] = true
			}
		}
		if len(nodes) == 4 {
			return run, "node-1"
		}
		must(t, run.cmd.Process.Kill())
		run.end(t)
		cleanUp(t, lab, run.id)
	}
	t.Fatal("all agents, or all targets, were on one node each time")
	return nil, ""
}

// podsOf are the pods of a run with a role.
func podsOf(t *testing.T, lab *labtest.Lab, run, role string) []corev1.Pod {
	t.Helper()
	list, err := lab.Client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{
		LabelSelector: runner.RunLabel + "=" + run + ",netpol-latency/role=" + role,
	})
	must(t, err)
	return list.Items
}
