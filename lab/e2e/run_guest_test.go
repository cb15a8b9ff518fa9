// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// TestRunInNamespacesThatExist has somebody with rights in two namespaces alone measure there, two
// runs at the same time, beside a pod of others: everything is true, that pod stays, and nothing
// else does. What that person may not do is said before anything is created.
func TestRunInNamespacesThatExist(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	agents, targets := lab.Namespace("team-agents"), lab.Namespace("team-targets")
	for _, namespace := range []string{agents, targets} {
		lab.Kubectl("create", "rolebinding", "jane", "--namespace="+namespace,
			"--clusterrole=admin", "--user=jane")
	}
	lab.Kubectl("run", "bystander", "--namespace="+targets, "--image=nginx")
	guest := []string{"--as=jane", "--namespace=" + agents, "--target-namespace=" + targets}

	t.Run("runs", func(t *testing.T) {
		for name, arguments := range map[string][]string{
			"egress":        {"policy-creation", "policy-deny", "--direction=egress"},
			"ingress":       {"policy-deny", "pod-label", "--direction=ingress"},
			"pods":          {"pod-creation", "pod-startup"},
			"one namespace": {"policy-deny", "--target-namespace=" + agents},
			"policy file":   {"--policy=testdata/policies/06-from-monitoring.yaml"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				samples, output := measureRun(t, lab, exitOK,
					append(append(guest[:3:3], arguments...), "--targets=2")...)
				expectTrue(t, lab, samples, "TCP")
				const said = "pods that are not of this run, such as"
				if name != "one namespace" && !strings.Contains(output, said) {
					t.Errorf("the output lacks %q:\n%s", said, output)
				}
			})
		}
	})
	expectCleared(t, lab, agents, targets)

	t.Run("kept", func(t *testing.T) {
		const id = "kept-guest"
		must(t, command(t.Context(), t, lab, append([]string{"run", "policy-deny", "--targets=1",
			"--keep", "--run-id=" + id, "-o", t.TempDir()}, guest...)...).Run())
		expectRefused(t, lab, "run ID "+id+" is in use: namespace "+agents+" has objects",
			append(guest[:3:3], "policy-deny", "--run-id="+id)...)
		output, err := command(t.Context(), t, lab, append([]string{"cleanup",
			"--run-id=" + id}, guest...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(output), "which stay") {
			t.Errorf("cleanup: %v, %s", err, output)
		}
		expectCleared(t, lab, agents, targets)
	})

	for _, test := range []struct {
		name, want string
		arguments  []string
	}{
		{"no namespaces", "this user may not create namespaces: expected --namespace",
			[]string{"policy-deny", "--as=jane"}},
		{"no rights", "this user may not create, patch, list, delete, get, watch configmaps",
			[]string{"policy-deny", "--as=jane", "--namespace=default"}},
		{"no such namespace", "there is none of that name",
			[]string{"policy-deny", "--namespace=none"}},
		{"a label of a namespace", "scenario namespace-label labels a namespace",
			append(guest[:3:3], "namespace-label")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			expectRefused(t, lab, test.want, test.arguments...)
		})
	}
}

// expectCleared expects that nothing of any run is in namespaces, and that what was there before
// is.
func expectCleared(t *testing.T, lab *labtest.Lab, agents, targets string) {
	t.Helper()
	for _, namespace := range []string{agents, targets} {
		left := lab.Kubectl("get", "deployments,replicasets,jobs,pods,configmaps,"+
			"serviceaccounts,roles,rolebindings,networkpolicies", "--namespace="+namespace,
			"--selector="+runner.RunLabel, "--output=name")
		if left != "" {
			t.Errorf("left in namespace %s:\n%s", namespace, left)
		}
	}
	_, err := lab.Client.CoreV1().Pods(targets).Get(t.Context(), "bystander",
		metav1.GetOptions{})
	must(t, err)
}
