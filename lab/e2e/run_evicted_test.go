// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

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

// evict has one pod of a run evicted, as who drains a node does.
func evict(t *testing.T, lab *labtest.Lab, run, role string) {
	t.Helper()
	list, err := lab.Client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{
		LabelSelector: runner.RunLabel + "=" + run + ",netpol-latency/role=" + role,
	})
	must(t, err)
	pod := list.Items[0]
	must(t, lab.Client.PolicyV1().Evictions(pod.Namespace).Evict(t.Context(), &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
	}))
}
