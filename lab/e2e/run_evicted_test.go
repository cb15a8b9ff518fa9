// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// Pods that are evicted in the first iteration cost the later ones nothing: those that come in
// their place probe, are probed and, where the trigger is about them, are changed.
func TestRunEvicted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, scenario, role, says string }{
		{"a target", "policy-deny", "target", ""},
		{"the agent", "policy-deny", "agent", "agent 0 was replaced during the run"},
		{"the agent whose label changes", "pod-label", "agent",
			"agent 0 was replaced during the run"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lab := soon(t)
			// Without a refresh each later iteration would last as long as the test may.
			run := begin(t, lab, test.scenario, "--targets=3", "--repeat=3", "--timeout=6s",
				"--target-image=nginx")
			run.await(t, "measuring")
			evict(t, lab, run.id, test.role)
			_, samples := run.end(t)

			first := samples[0].Iteration
			later := 0
			for _, sample := range samples {
				if sample.Iteration < first+2 && sample.Scenario != "policy-deny" ||
					sample.Iteration == first {
					continue // it was under way, in both of its parts
				}
				later++
				if sample.Status != measure.Measured {
					t.Errorf("iteration %d: a pair is %s: %s", sample.Iteration, sample.Status,
						sample.Reason)
				}
			}
			if later < 6 || !strings.Contains(run.printed.String(), test.says) {
				t.Errorf("%d pairs of later iterations, want 6 and %q:\n%s", later, test.says,
					run.printed.String())
			}
			expectNothingLeft(t, lab, run.id)
		})
	}
}

// TestRunEvictedInEveryPhase has agents (of pod-startup, the pods that start) evicted while the old
// state is proved, and after the trigger, in every scenario: what is measured is right, nothing is
// censored or invalid, no iteration waits for who is gone, and the last one is whole.
func TestRunEvictedInEveryPhase(t *testing.T) {
	t.Parallel()
	// An iteration that waited for its whole time would outlast the test.
	const timeout = 20 * time.Minute
	lab := slowly(t)
	for _, scenario := range []string{"pod-creation", "policy-creation", "policy-deny",
		"policy-update", "policy-deletion", "pod-label", "namespace-label", "established",
		"pod-startup"} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			lab := lab.Of(t)
			waits := timeout
			if scenario == "established" {
				waits = 5 * time.Second // this engine cuts no connection: all pairs are censored
			}
			run := begin(t, lab, scenario, "--targets=2", "--repeat=2",
				"--timeout="+waits.String(), "--target-image=nginx")
			role := "agent"
			if scenario == "pod-startup" {
				role = "startup"
			} else {
				run.await(t, "proving")
				evict(t, lab, run.id, role)
			}
			run.await(t, "measuring")
			evict(t, lab, run.id, role)
			code, samples := run.end(t)

			last := 0
			for _, sample := range samples {
				last = max(last, sample.Iteration)
			}
			for _, sample := range samples {
				latency, _, _ := sample.Observed()
				early := sample.Kind != measure.KindBlocked && sample.Status == measure.Measured &&
					scenario != "pod-startup" && latency < slowDelay/2
				if scenario == "established" && sample.Status == measure.Censored {
					continue
				}
				if early || sample.Status == measure.Censored || sample.Status == measure.Invalid ||
					sample.Iteration == last && sample.Status != measure.Measured {
					t.Errorf("iteration %d of %d: %s is %s, %s: %s", sample.Iteration, last,
						sample.Scenario, sample.Status, latency, sample.Reason)
				}
			}
			if code > 1 && scenario != "established" || len(samples) < 4 {
				t.Errorf("exit code %d, %d samples:\n%s", code, len(samples),
					run.printed.String())
			}
			expectNothingLeft(t, lab, run.id)
		})
	}
}

// evict has one pod of a run evicted, as who drains a node does: the first that there is.
func evict(t *testing.T, lab *labtest.Lab, run, role string) {
	t.Helper()
	pods, err := lab.Client.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{
		LabelSelector: runner.RunLabel + "=" + run + ",netpol-latency/role=" + role,
	})
	must(t, err)
	defer pods.Stop()
	pod := &corev1.Pod{}
	for event := range pods.ResultChan() {
		var is bool
		if pod, is = event.Object.(*corev1.Pod); is && pod.DeletionTimestamp == nil {
			break
		}
	}
	must(t, lab.Client.PolicyV1().Evictions(pod.Namespace).Evict(t.Context(), &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
	}))
}
