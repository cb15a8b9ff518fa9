// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// Policy files of the shapes that are in use are measured with nothing but their names, or refused
// at once with the reason.
func TestRunPolicyFiles(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	tests := []struct{ file, want string }{
		{"01-default-deny-ingress.yaml", "--direction ingress --expect blocked"},
		{"02-default-deny-all.yaml", "--direction ingress --expect blocked"},
		{"03-default-deny-egress.yaml", "--direction egress --from app=worker --expect blocked"},
		{"04-frontend-to-api.yaml", "--direction ingress --from app=bookstore,role=frontend " +
			"--to app=bookstore,role=api --expect allowed --same-namespace"},
		{"05-same-namespace-only.yaml", "--direction ingress --expect allowed --same-namespace"},
		{"06-from-monitoring.yaml", "--direction ingress --from " +
			"app.kubernetes.io/name=prometheus --to tier=backend --to-port 9100 --expect allowed"},
		{"07-production-namespaces.yaml", "--to app=web --expect allowed --from-namespace " +
			"purpose=production"},
		{"08-dns.yaml", "--direction egress --protocol UDP --to k8s-app=kube-dns --to-port 53"},
		{"09-database-port.yaml", "--to-port 8080=postgres --expect allowed"},
		{"10-everybody-to-web.yaml", "--to app=web --to-port 443 --expect allowed"},
		{"11-not-the-private-networks.yaml", "--direction egress --expect blocked"},
		{"12-three-kinds-of-peers.yaml", "--to role=store --to-port 6379 --expect allowed " +
			"--from-namespace project=alpha"},
		{"13-as-the-cluster-has-it.json", "--direction ingress --to app=orders --expect allowed"},
		{"14-outside-network.yaml", "ipBlock 203.0.113.0/24 has no address of the agents"},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("testdata", "policies", test.file)
			samples, output := measureRun(t, lab, exitOK, "--policy="+file, "--targets=2")
			protocol := "TCP"
			if strings.Contains(test.want, "UDP") {
				protocol = "UDP"
			}
			expectTrue(t, lab, samples, protocol)
			if len(samples) != 2 || !strings.Contains(output, test.want) {
				t.Errorf("%d samples, and the output lacks %q:\n%s", len(samples), test.want,
					output)
			}
		})
	}

	t.Run("a kind that is not installed", func(t *testing.T) {
		t.Parallel()
		expectRefused(t, lab, "the API serves no ClusterNetworkPolicy of policy.networking",
			"--policy=testdata/policies/15-cluster-network-policy.yaml")
	})
	t.Run("a block without pods", func(t *testing.T) {
		t.Parallel()
		expectRefused(t, lab, "ipBlock 203.0.113.0/24 has no address of the agents",
			"--policy=testdata/policies/14-outside-network.yaml", "--expect=allowed")
	})
	t.Run("a namespace that exists", func(t *testing.T) {
		t.Parallel()
		expectRefused(t, lab, "measure Namespace kube-system: it exists already",
			"--policy=testdata/policies/08-dns.yaml", "--to-namespace=kube-system")
	})
}

// expectRefused expects that a run fails with a text, and has created nothing.
func expectRefused(t *testing.T, lab *labtest.Lab, want string, arguments ...string) {
	t.Helper()
	const id = "refused"
	output, err := command(t.Context(), t, lab, append([]string{"run", "-o", t.TempDir(),
		"--run-id=" + id}, arguments...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(output), want) {
		t.Errorf("run %v: %v; want a refusal with %q:\n%s", arguments, err, want, output)
	}
	expectNothingLeft(t, lab, id)
}

// What is before is the user's, and policies are deleted and replaced, all in one suite. Namespaces
// get names of the user, and what a run leaves under them is removed when it is named.
func TestRunPolicyChanges(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	directory := t.TempDir()
	write := func(file, name, spec string) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(directory, file), []byte("apiVersion: "+
			"networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: "+name+"}\nspec: "+
			spec+"\n"), 0o600))
	}
	write("deny.yaml", "deny", "{podSelector: {}}")
	write("web.yaml", "db", "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{"+
		"podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}")
	write("nobody.yaml", "db", "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}")
	suite := filepath.Join(directory, "suite.yaml")
	must(t, os.WriteFile(suite, []byte(`
targets: 2
runs:
  - {policy: web.yaml, before: deny.yaml}
  - {policy: deny.yaml, delete: true, repeat: 2}
  - {policy: web.yaml, replace: nobody.yaml, repeat: 2}
  - {policy: web.yaml, delete: true, to-namespace: "stage,team=red"}
thresholds:
  - policy.p99<5s
`), 0o600))
	samples, output := measureRun(t, lab, exitOK, "-c", suite)
	expectTrue(t, lab, samples, "TCP")
	if len(samples) != 12 {
		t.Errorf("%d samples; want 12:\n%s", len(samples), output)
	}
	for _, sample := range samples {
		if sample.Kind != measure.KindNew {
			t.Errorf("a pair is of kind %v", sample.Kind)
		}
	}

	kept, err := command(t.Context(), t, lab, "run", "-o", filepath.Join(directory, "kept"),
		"--run-id=named", "--keep", "--targets=1", "--policy="+filepath.Join(directory,
			"web.yaml"), "--to-namespace=stage-two").CombinedOutput()
	if err != nil {
		t.Fatalf("a run in a namespace with a name: %v: %s", err, kept)
	}
	left, err := command(t.Context(), t, lab, "cleanup", "--run-id=named").CombinedOutput()
	if err != nil || !strings.Contains(string(left), "add --named stage-two") {
		t.Errorf("clean up without the name: %v: %s", err, left)
	}
	_, err = lab.Client.CoreV1().Namespaces().Get(t.Context(), "stage-two", metav1.GetOptions{})
	must(t, err)
	left, err = command(t.Context(), t, lab, "cleanup", "--run-id=named",
		"--named=stage-two").CombinedOutput()
	if err != nil {
		t.Errorf("clean up by name: %v: %s", err, left)
	}
	expectNothingLeft(t, lab, "named")
}
