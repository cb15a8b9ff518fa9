// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// underWay is a run that something happens to.
type underWay struct {
	id        string
	cmd       *exec.Cmd
	lines     chan string
	directory string
	printed   strings.Builder
}

// begin starts a run.
func begin(t *testing.T, lab *labtest.Lab, arguments ...string) *underWay {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	u := &underWay{id: runner.NewRunID(), directory: filepath.Join(t.TempDir(), "results"),
		lines: make(chan string, 1000)}
	u.cmd = command(ctx, t, lab, append([]string{"run", "-o", u.directory, "--run-id", u.id},
		arguments...)...)
	read, write, err := os.Pipe()
	must(t, err)
	u.cmd.Stdout, u.cmd.Stderr = write, write
	must(t, u.cmd.Start())
	must(t, write.Close())
	go u.read(read)
	return u
}

func (u *underWay) read(from io.Reader) {
	defer close(u.lines)
	for lines := bufio.NewScanner(from); lines.Scan(); {
		u.lines <- lines.Text()
	}
}

// await waits for a line of the run's progress.
func (u *underWay) await(t *testing.T, text string) {
	t.Helper()
	for line := range u.lines {
		u.printed.WriteString(line + "\n")
		if strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("the run ended without a line with %q:\n%s", text, u.printed.String())
}

// end waits for the end and returns the exit code, and the samples if there are some.
func (u *underWay) end(t *testing.T) (int, []measure.Sample) {
	t.Helper()
	for line := range u.lines {
		u.printed.WriteString(line + "\n")
	}
	err := u.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(u.directory, "samples.jsonl"))
	if err != nil {
		return u.cmd.ProcessState.ExitCode(), nil
	}
	defer file.Close()
	samples, err := result.Read(file)
	must(t, err)
	return u.cmd.ProcessState.ExitCode(), samples
}

// Whatever happens in the middle of a run, it ends with a true account: every pair has a result,
// and what is measured is right. [TestRunAcrossRestarts] restarts the API server.
func TestRunDisturbed(t *testing.T) {
	t.Parallel()
	disturbances := map[string]func(*testing.T, *labtest.Lab, corev1.Pod){
		"agent deleted": func(t *testing.T, lab *labtest.Lab, agent corev1.Pod) {
			must(t, lab.Client.CoreV1().Pods(agent.Namespace).Delete(t.Context(), agent.Name,
				metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
		},
		"the agent's connections cut": func(_ *testing.T, lab *labtest.Lab, agent corev1.Pod) {
			lab.CutConnections(agent.Status.PodIP)
		},
	}
	for name, disturb := range disturbances {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := slowly(t)
			run := begin(t, lab, "policy-deny", "--targets=4", "--timeout=15s", "--patience=15s",
				"--target-image=nginx")
			run.await(t, "measuring")
			disturb(t, lab, podsOf(t, lab, run.id, "agent")[0])
			code, samples := run.end(t)
			if len(samples) != 4 {
				t.Errorf("exit code %d, %d samples; want 4:\n%s", code, len(samples),
					run.printed.String())
			}
			var measured []measure.Sample
			for _, sample := range samples {
				if sample.Status == measure.Measured {
					measured = append(measured, sample)
				}
			}
			t.Logf("exit code %d, %d of %d measured", code, len(measured), len(samples))
			if (code == exitOK) != (len(measured) == len(samples)) {
				t.Errorf("exit code %d with %d of %d measured", code, len(measured), len(samples))
			}
			expectTrue(t, lab, measured, "TCP")
			expectNothingLeft(t, lab, run.id)
		})
	}
}

// A starting pod whose first container is killed has no results, and never runs its second one.
// That costs the other pods nothing, and the run does not wait for it: it says how the container
// ended.
func TestRunStarterKilled(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t)
	const targets, each = 4, 3 // samples of a starting pod
	// No time-out but the test's own can end a run that waits for what never comes.
	run := begin(t, lab, "pod-startup", fmt.Sprint("--targets=", targets), "--watch=2s",
		"--patience=1h", "--target-image=nginx")
	run.await(t, "measuring")
	lab.Await("a second starting pod", patience, func(context.Context) (bool, error) {
		pid := findStarter(lab, 1)
		if pid == 0 {
			return false, nil
		}
		return true, syscall.Kill(pid, syscall.SIGKILL)
	})
	code, samples := run.end(t)
	unobserved := 0
	for _, sample := range samples {
		if sample.Status == measure.Unobserved {
			unobserved++
		}
	}
	const says = "container first ended with exit code 137"
	if code != exitFailure || len(samples) != targets*each || unobserved != each ||
		!strings.Contains(run.printed.String(), says) {
		t.Errorf("exit code %d, %d samples, %d of them unobserved; want %d, %d and %d, and %q "+
			"in the output:\n%s",
			code, len(samples), unobserved, exitFailure, targets*each, each, says,
			run.printed.String())
	}
	expectNothingLeft(t, lab, run.id)
}

// findStarter finds the process of the first container of the starting pod with a number; 0 if
// there is none.
func findStarter(lab *labtest.Lab, number int) int {
	for _, pid := range lab.Processes() {
		starter := strings.Contains(processFile(pid, "cmdline"), "--scenario=pod-startup\x00")
		// The node agent lets go of a process once it has completed its file system.
		_, after, _ := strings.Cut(processFile(pid, "status"), "\nTracerPid:\t")
		if !starter || !strings.HasPrefix(after, "0\n") {
			continue
		}
		if strings.Contains(processFile(pid, "environ"),
			fmt.Sprintf("JOB_COMPLETION_INDEX=%d\x00", number)) {
			return pid
		}
	}
	return 0
}

// processFile is a file that the kernel has about a process; empty if it has ended.
func processFile(pid int, name string) string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
	return string(text)
}

// What no namespace takes along is removed too, also after SIGKILL.
func TestRunKilledWithAnObjectOfTheCluster(t *testing.T) {
	t.Parallel()
	lab := slowly(t)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	must(t, os.WriteFile(file, []byte(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: mine, namespace: elsewhere}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: of-the-run}
`), 0o600))
	run := begin(t, lab, "--policy="+file, "--expect=blocked", "--direction=ingress", "--targets=2")
	run.await(t, "measuring")
	lab.Await("the object to be there", patience, func(ctx context.Context) (bool, error) {
		_, err := lab.Client.RbacV1().ClusterRoles().Get(ctx, "of-the-run", metav1.GetOptions{})
		return err == nil, nil
	})
	must(t, run.cmd.Process.Kill())
	run.end(t)
	output, err := command(t.Context(), t, lab, "cleanup", "--run-id", run.id).CombinedOutput()
	if err != nil {
		t.Fatalf("clean up: %v: %s", err, output)
	}
	expectNothingLeft(t, lab, run.id)
	if _, err := lab.Client.RbacV1().ClusterRoles().Get(t.Context(), "of-the-run",
		metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the cluster role is left: %v", err)
	}
}

// A run that is ended in any phase leaves nothing: by itself after SIGTERM, after SIGKILL by
// cleanup. What the user has is untouched. [TestRunCut] kills in further phases.
func TestRunKilled(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	theirs := lab.Namespace("theirs")
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "theirs",
		Namespace: theirs}}
	_, err := lab.Client.NetworkingV1().NetworkPolicies(theirs).Create(t.Context(), policy,
		metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { // when all of them have ended
		_, err := lab.Client.NetworkingV1().NetworkPolicies(theirs).Get(context.Background(),
			"theirs", metav1.GetOptions{})
		must(t, err)
	})

	random := rand.New(rand.NewPCG(9, 10))
	for _, test := range []struct {
		signal syscall.Signal
		phase  string // the line of progress after which the signal comes
	}{
		{syscall.SIGTERM, "run "}, // it creates its namespaces
		{syscall.SIGKILL, "run "},
		{syscall.SIGTERM, "policy-creation: starting"},
		{syscall.SIGKILL, "policy-creation: proving"},
		{syscall.SIGTERM, "policy-creation: measuring"},
		{syscall.SIGTERM, "policy-creation: cleaning up"},
		{syscall.SIGKILL, "pod-creation: starting"},
	} {
		// Not only the beginnings of phases: these are short.
		after := time.Duration(random.IntN(300)) * time.Millisecond
		t.Run(fmt.Sprintf("%s %s after %s", test.signal, after, test.phase), func(t *testing.T) {
			t.Parallel()
			endAfter(t, soon(t), test.signal, test.phase, after)
		})
	}
}

// endAfter ends a run by a signal some time after a phase has begun, and expects nothing to be
// left.
func endAfter(
	t *testing.T, lab *labtest.Lab, signal syscall.Signal, phase string, after time.Duration,
) {
	t.Helper()
	run := begin(t, lab, "policy-creation", "pod-creation", "--targets=3")
	run.await(t, phase)
	// It may have ended by then.
	time.AfterFunc(after, func() { _ = run.cmd.Process.Signal(signal) })
	run.end(t)
	if signal == syscall.SIGKILL {
		cleanUp(t, lab, run.id)
	}
	expectNothingLeft(t, lab, run.id)
	if t.Failed() {
		t.Logf("the run said:\n%s", run.printed.String())
	}
}
