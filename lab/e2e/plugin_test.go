// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// A real kubectl finds the plugin by its file's name, runs it against a real cluster, and completes
// what a user types, also with what only the cluster knows.
func TestPlugin(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t) // of its own: everything in it is cleaned up
	dir := t.TempDir()
	binary := labtest.Binary(t)
	for name, target := range map[string]string{
		"kubectl":                         binary,
		"kubectl-netpol_latency":          filepath.Join(filepath.Dir(binary), "netpol-latency"),
		"kubectl_complete-netpol_latency": filepath.Join(dir, "kubectl-netpol_latency"),
	} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	kubectl := func(arguments ...string) string { return kubectlOf(t, dir, lab, arguments) }
	listed, help := kubectl("plugin", "list"), kubectl("netpol-latency", "--help")
	if want := filepath.Join(dir, "kubectl-netpol_latency"); !strings.Contains(listed, want) {
		t.Errorf("kubectl does not list the plugin %s:\n%s", want, listed)
	}
	if want := "kubectl netpol-latency [command]"; !strings.Contains(help, want) {
		t.Errorf("the help lacks %q:\n%s", want, help)
	}
	if got, want := kubectl("netpol-latency", "cleanup", "--all"),
		"0 namespaces removed\n"; got != want {
		t.Errorf("cleanup says %q; want %q", got, want)
	}
	_, err := lab.Client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "left", Labels: map[string]string{runner.RunLabel: "1f2e3d4c",
				runner.PartOfLabel: runner.PartOf},
		}}, metav1.CreateOptions{})
	must(t, err)
	deny, err := scenario.Find("policy-deny")
	must(t, err)
	for line, want := range map[string]string{
		"netpol-latency run --family ":             "IPv6",
		"netpol-latency run policy-den":            deny.Name + "\t" + deny.Summary,
		"netpol-latency summary --namespace kube-": "kube-system",
		"netpol-latency cleanup --run-id ":         "1f2e3d4c",
		"netpol-latency manifests policy-creation --step": "--step\tobjects to print: setup, " +
			"trigger or all",
	} {
		got := strings.Split(kubectl(append([]string{"__complete"},
			strings.Split(line, " ")...)...), "\n")
		if !slices.Contains(got, want) {
			t.Errorf("for %q, %q is not among %q", line, want, got)
		}
	}
}

// kubectlOf runs the kubectl of a directory, which is the first in its PATH, on a lab, and returns
// what it prints.
func kubectlOf(t *testing.T, dir string, lab *labtest.Lab, arguments []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "kubectl"), arguments...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+lab.Kubeconfig,
		"PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %q: %v: %s", arguments, err, &stderr)
	}
	return string(output)
}
