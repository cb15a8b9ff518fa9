// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os/exec"
	"strings"
	"testing"
	"text/template"

	corev1 "k8s.io/api/core/v1"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// loadTest plays ClusterLoader2's measurement NetworkPolicyEnforcement: its objects, names, labels,
// permissions and queries, in its order. What differs is said in docs/clusterloader2.md.
type loadTest struct {
	t          *testing.T
	lab        *labtest.Lab
	prometheus *corev1.Pod
	// Namespaces are those of the targets, Targets the number of pods in each.
	Namespaces []string
	Targets    int
}

// apply creates what a template makes of data.
func (l *loadTest) apply(name string, data map[string]any) {
	l.t.Helper()
	all, err := template.ParseGlob("testdata/clusterloader2/*.yaml")
	must(l.t, err)
	var objects bytes.Buffer
	must(l.t, all.ExecuteTemplate(&objects, name+".yaml", data))
	command := exec.CommandContext(l.t.Context(), "kubectl", "--kubeconfig", l.lab.Kubeconfig,
		"apply", "-f", "-")
	command.Stdin = &objects
	if output, err := command.CombinedOutput(); err != nil {
		l.t.Fatalf("apply %s: %v\n%s", name, err, output)
	}
}

// setup is the measurement's action of that name.
func (l *loadTest) setup() {
	l.lab.Kubectl("label", "node", "--all", "test-np=net-policy-client")
	l.lab.Kubectl("apply", "-f", "../../deploy/clusterloader2/images.yaml")
	l.apply("setup", map[string]any{"APIServer": apiServer(l.t, l.lab),
		"APIServerPort": apiServerPort(l.t, l.lab)})
	l.allow("allow-egress-to-target-pod-creation", "pod-creation", "enforcement-latency", "")
	l.allow("deny-egress-to-target-policy-creation", "policy-creation", "deny-traffic", "")
}

// allow makes a policy that lets the clients of a type reach the pods with a label, in one
// namespace or all.
func (l *loadTest) allow(name, kind, target, namespace string) {
	l.apply("policy", map[string]any{"Name": name, "Type": kind, "Target": target,
		"TargetNamespace": namespace})
}

// clients start one client of a type for each namespace of targets, and wait until they run.
func (l *loadTest) clients(kind, program string) {
	for i, namespace := range l.Namespaces {
		l.apply("client", map[string]any{
			"Name": fmt.Sprintf("%s-np-test-client-%d", kind, i), "Type": kind, "Program": program,
			"TargetNamespace": namespace,
			// The image that ClusterLoader2 has compiled in is another: the API server replaces it.
			"MaxTargets": l.Targets,
			"Image":      "originals/network-policy-enforcement-latency/" + program + ":v0.0.1",
			"Policy":     fmt.Sprintf("allow-egress-to-target-%d", i),
		})
	}
	l.lab.Await("the clients to run", patience, func(context.Context) (bool, error) {
		running := 0
		for _, pod := range pods(l.t, l.lab, "net-policy-test", "type="+kind) {
			if pod.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		return running == len(l.Namespaces), nil
	})
}

// expect asks Prometheus what ClusterLoader2 asks about a metric: the count, and percentiles, which
// it expects to rise.
func (l *loadTest) expect(metric, buckets string) {
	l.t.Helper()
	all := float64(l.Targets * len(l.Namespaces))
	awaitQuery(l.t, l.lab, l.prometheus, "sum("+metric+"_count)", func(v float64) bool {
		return v == all
	})
	least := 0.0
	for _, quantile := range []string{"0.5", "0.9", "0.95", "0.99"} {
		query := fmt.Sprintf("histogram_quantile(%s, sum(%s) by (le))", quantile,
			fmt.Sprintf(buckets, metric+"_bucket"))
		value := awaitQuery(l.t, l.lab, l.prometheus, query, func(v float64) bool {
			return v > 0 && !math.IsInf(v, 0)
		})
		if value < least || value > patience.Seconds() {
			l.t.Errorf("%s = %v; want %v to %v", query, value, least, patience.Seconds())
		}
		least = value
		l.t.Logf("%s = %.3f", query, value)
	}
}

// TestClusterLoader2 deploys the clients as ClusterLoader2 does, and asks what it asks.
func TestClusterLoader2(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--image", "prometheus="+prometheusProgram(t), "--delay", "50ms")
	l := &loadTest{t: t, lab: lab, Targets: 10, Namespaces: []string{lab.Namespace("test-l-1"),
		lab.Namespace("test-l-2")}}
	l.setup()
	config := scrapeConfig(t, []podMonitor{clientMonitor()}, nil)
	l.prometheus = startPrometheus(t, lab, "monitoring",
		map[string]string{"prometheus.yml": config})
	l.podCreation()
	l.policyCreation()
	lab.Kubectl("label", "node", "--all", "test-np-") // it is the next test's lab
}

// clientMonitor is what the PodMonitor of the load test says.
func clientMonitor() podMonitor {
	var monitor podMonitor
	monitor.Metadata.Name, monitor.Metadata.Namespace = "net-policy-client-pods", "net-policy-test"
	monitor.Spec.Selector.MatchLabels = map[string]string{"test": "np-test-client"}
	monitor.Spec.PodMetricsEndpoints = []struct{ Port string }{{"npdelaymetrics"}}
	return monitor
}

// podCreation runs the test of that type: clients first, then targets.
func (l *loadTest) podCreation() {
	const reached, assigned = "pod_creation_reachability_latency_seconds",
		"pod_ip_address_assigned_latency_seconds"
	l.clients("pod-creation", "pod-creation-reachability-latency")
	awaitQuery(l.t, l.lab, l.prometheus, "count("+reached+"_count)", func(v float64) bool {
		return v == float64(len(l.Namespaces))
	})
	for _, namespace := range l.Namespaces {
		l.apply("targets", map[string]any{"Namespace": namespace, "Targets": l.Targets})
	}
	l.expect(reached, "rate(%s[5m])")
	l.expect(assigned, "rate(%s[5m])")
	l.lab.Kubectl("-n", "net-policy-test", "delete", "deployments", "-l", "type=pod-creation")
}

// policyCreation runs the test of that type: the targets are there, and the allowing policies come
// in the middle of a load of others, which select nothing.
func (l *loadTest) policyCreation() {
	l.clients("policy-creation", "policy-creation-enforcement-latency")
	denied := `min(netpol_latency_probes_total{verdict="dropped",scenario="policy-creation"})`
	awaitQuery(l.t, l.lab, l.prometheus, denied, func(v float64) bool {
		return v >= float64(l.Targets)
	})
	for i, namespace := range l.Namespaces {
		l.apply("load", map[string]any{"Namespace": namespace, "Index": i,
			"Policies": make([]int, 20)})
		l.allow(fmt.Sprintf("allow-egress-to-target-%d", i), "policy-creation",
			"enforcement-latency", namespace)
	}
	l.expect("policy_enforcement_latency_policy_creation_seconds", "%s")
	for _, pod := range pods(l.t, l.lab, "net-policy-test", "type=policy-creation") {
		if logs := l.lab.Kubectl("-n", pod.Namespace, "logs", pod.Name); !strings.Contains(logs,
			"it reads net-policy-test/allow-egress-to-target-") {
			l.t.Errorf("the client does not say that it may only get its policy:\n%s", logs)
		}
	}
}

// apiServerPort is the port of the API server's endpoint.
func apiServerPort(t *testing.T, lab *labtest.Lab) string {
	t.Helper()
	return strings.TrimSpace(lab.Kubectl("get", "endpointslices", "kubernetes", "-o",
		"jsonpath={.ports[0].port}"))
}
