// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// cutRun are the arguments of a run of three iterations with two targets each.
var cutRun = []string{
	"policy-creation", "--targets=2", "--repeat=3", "--target-image=nginx",
}

// Whatever ends a run takes at most the iteration under way along: the others can be read.
func TestRunCut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		phases     []string // lines of progress that are awaited
		signals    []syscall.Signal
		state      result.State
		iterations int
	}{
		{"killed while the targets start", []string{"starting"}, []syscall.Signal{syscall.SIGKILL},
			result.StateRunning, 0},
		{"killed in the third iteration", []string{"measuring", "measuring", "measuring"},
			[]syscall.Signal{syscall.SIGKILL}, result.StateRunning, 2},
		{"killed while it removes everything", []string{"cleaning up"},
			[]syscall.Signal{syscall.SIGKILL}, result.StateComplete, 3},
		{"killed while it waits", []string{"waiting until"}, []syscall.Signal{syscall.SIGKILL},
			result.StateComplete, 3},
		{"interrupted twice", []string{"measuring", "measuring"},
			[]syscall.Signal{syscall.SIGINT, syscall.SIGINT}, result.StateRunning, 1},
		{"its terminal closed", []string{"measuring", "measuring"},
			[]syscall.Signal{syscall.SIGHUP, syscall.SIGHUP}, result.StateFailed, 1},
	}
	// A process that ignores the signal, as under nohup(1), lets its children ignore it, too.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })

	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lab := soon(t)
			run := begin(t, lab, cutRun...)
			for _, phase := range test.phases {
				run.await(t, phase)
			}
			for i, signal := range test.signals {
				if i > 0 {
					run.await(t, "cleaning up")
				}
				must(t, run.cmd.Process.Signal(signal))
			}
			run.end(t)

			expectCut(t, run.directory, test.state, test.iterations)
			if test.state != result.StateFailed {
				cleanUp(t, lab, run.id)
			}
			expectNothingLeft(t, lab, run.id)
		})
	}
}

// expectCut reads what a run has left.
func expectCut(t *testing.T, directory string, state result.State, iterations int) {
	t.Helper()
	run, samples, err := result.Directory(directory).Read()
	must(t, err)
	if run.State != state || run.Scenarios[0].Iterations != iterations ||
		len(samples) != 2*iterations {
		t.Errorf("the run is %q after %d iterations, with %d samples; want %q, %d and %d: %s",
			run.State, run.Scenarios[0].Iterations, len(samples), state, iterations, 2*iterations,
			run.Error)
	}
}

func cleanUp(t *testing.T, lab *labtest.Lab, id string) {
	t.Helper()
	output, err := command(t.Context(), t, lab, "cleanup", "--run-id", id).CombinedOutput()
	if err != nil {
		t.Fatalf("clean up: %v: %s", err, output)
	}
}

// A run whose output nobody reads any more ends in order.
func TestRunUnread(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	id, directory := runner.NewRunID(), filepath.Join(t.TempDir(), "results")
	run := command(t.Context(), t, lab, append([]string{"run", "-o", directory, "--run-id", id},
		cutRun...)...)
	shell := exec.CommandContext(t.Context(), "sh", append([]string{"-c",
		`"$0" "$@" 2>&1 | head -4`},
		run.Args...)...)
	shell.Env = run.Env
	output, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	found, _, err := result.Directory(directory).Read()
	must(t, err)
	if found.State != result.StateFailed || !strings.Contains(found.Error, "nobody reads") {
		t.Errorf("the run is %q: %s", found.State, found.Error)
	}
	expectNothingLeft(t, lab, id)
}

// Two runs take neither each other's results nor each other's objects. When one of them is killed,
// what it has left in the cluster ends once its lease is over.
func TestRunLease(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	run := begin(t, lab, cutRun...)
	run.await(t, "measuring")
	for name, test := range map[string]struct{ flag, value, says string }{
		"the same directory": {"--output", run.directory, "is not empty"},
		"the same ID":        {"--run-id", run.id, "run ID " + run.id + " is in use: namespace"},
	} {
		other := command(t.Context(), t, lab, "run", "pod-label", test.flag, test.value)
		other.Dir = t.TempDir()
		output, err := other.CombinedOutput()
		if other.ProcessState.ExitCode() != exitFailure || !strings.Contains(string(output),
			test.says) {
			t.Errorf("%s: %v: %s", name, err, output)
		}
	}
	must(t, run.cmd.Process.Kill())
	run.end(t)

	namespaces, err := lab.Client.CoreV1().Namespaces().List(t.Context(),
		metav1.ListOptions{LabelSelector: runner.RunLabel + "=" + run.id})
	must(t, err)
	for _, namespace := range namespaces.Items {
		expire(t, lab, namespace)
	}
	lab.Await("everything of the run to end", patience, func(ctx context.Context) (bool, error) {
		left := 0
		for _, namespace := range namespaces.Items {
			pods, err := lab.Client.CoreV1().Pods(namespace.Name).List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, err
			}
			sets, err := lab.Client.AppsV1().ReplicaSets(namespace.Name).List(ctx,
				metav1.ListOptions{})
			if err != nil {
				return false, err
			}
			left += len(pods.Items) + len(sets.Items)
		}
		return left == 0, nil
	})
	cleanUp(t, lab, run.id)
	expectNothingLeft(t, lab, run.id)
}

// expire lets the lease of a namespace be over now.
func expire(t *testing.T, lab *labtest.Lab, namespace corev1.Namespace) {
	t.Helper()
	_, err := lab.Client.BatchV1().Jobs(namespace.Name).Patch(t.Context(), "lease",
		types.MergePatchType, []byte(`{"spec":{"activeDeadlineSeconds":1}}`), metav1.PatchOptions{})
	must(t, err)
}
