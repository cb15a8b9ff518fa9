// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// The chart and the kustomize bases, seen from this package.
const (
	chart     = "../../manifests/netpol-latency"
	kustomize = "../../manifests/kustomize/"
)

// try runs a command line as a person would and returns what it printed.
func try(t *testing.T, lab *labtest.Lab, line string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-ec", line)
	command.Env = append(command.Environ(), "KUBECONFIG="+lab.Kubeconfig)
	output, err := command.CombinedOutput()
	return string(output), err
}

func do(t *testing.T, lab *labtest.Lab, line string) string {
	t.Helper()
	output, err := try(t, lab, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, output)
	}
	return output
}

// restrict has the API server admit only pods of the standard "restricted" to namespaces.
func restrict(t *testing.T, lab *labtest.Lab, namespaces ...string) {
	t.Helper()
	for _, namespace := range namespaces {
		lab.Kubectl("label", "namespace", namespace, "--overwrite",
			"pod-security.kubernetes.io/enforce=restricted")
	}
}

// expectAccount checks that a client has measured every target.
func expectAccount(t *testing.T, lab *labtest.Lab, namespace, scenario string, targets int) {
	t.Helper()
	output := do(t, lab,
		"netpol-latency summary --wait --namespace "+namespace+" --selector type="+scenario)
	if want := fmt.Sprintf("%d/%d", targets, targets); !strings.Contains(output, want) {
		t.Errorf("the summary lacks %s:\n%s", want, output)
	}
}

// TestHelmChart lints the chart, shows what its schema refuses, and lets the real API server judge
// and run what it renders, under the pod security standard that the strictest clusters enforce.
func TestHelmChart(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	do(t, lab, "helm lint --strict "+chart)
	refused := map[string]string{
		"scenario=other": "scenario", "targets=none": "targets", "targetPort=70000": "targetPort",
		"targts=5": "targts", "apiServers[0].cidr=here": "cidr", "clients=0": "clients",
	}
	for value, want := range refused {
		output, err := try(t, lab, "helm template x "+chart+" --set "+value)
		if err == nil || !strings.Contains(output, want) {
			t.Errorf("--set %s: %v, without %q in:\n%s", value, err, want, output)
		}
	}
	for _, scenario := range []string{"policy-creation", "pod-creation"} {
		t.Run(scenario, func(t *testing.T) {
			clients, targets := lab.Namespace("helm-"+scenario),
				lab.Namespace("helm-"+scenario+"-targets")
			restrict(t, lab, clients, targets)
			render := fmt.Sprintf("helm template x %s --namespace %s --set "+
				"scenario=%s,targetNamespace=%s,targets=5 --set %s",
				chart, clients, scenario, targets, named(t, lab))
			do(t, lab, render+" --set step=all,netRaw=false | kubectl apply --dry-run=server -f -")
			do(t, lab, render+" | kubectl apply -f -")
			do(t, lab, fmt.Sprintf("kubectl -n %s rollout status deployment/%s-test-client "+
				"--timeout=2m", clients, scenario))
			do(t, lab, render+" --set step=all | kubectl apply -f -")
			expectAccount(t, lab, clients, scenario, 5)
			expectRefusal(t, lab, clients, render)
			do(t, lab, render+" --set step=all | kubectl delete -f -")
		})
	}
}

// expectRefusal shows that the standard is enforced: a client that asks for a capability does not
// get a pod.
func expectRefusal(t *testing.T, lab *labtest.Lab, namespace, render string) {
	t.Helper()
	output := do(t, lab, render+" --set netRaw=true | kubectl apply --dry-run=server -f - 2>&1")
	if want := "violate PodSecurity"; !strings.Contains(output, want) {
		t.Errorf("a client with a capability in namespace %s is not warned about: the output "+
			"lacks %q:\n%s", namespace, want, output)
	}
}

// TestHelmInstall installs and upgrades a release, as the notes of the chart say, and leaves
// nothing of it.
func TestHelmInstall(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	clients := lab.Namespace("release")
	notes := do(t, lab, "helm install np "+chart+" --namespace "+clients+" --set targets=3 "+
		"--wait --timeout 2m --set "+named(t, lab))
	if !strings.Contains(notes, "rollout status deployment/policy-creation-test-client") {
		t.Errorf("the notes do not say what comes next:\n%s", notes)
	}
	do(t, lab, "helm upgrade np "+chart+" --namespace "+clients+" --reuse-values --set step=all")
	expectAccount(t, lab, clients, "policy-creation", 3)
	do(t, lab, "helm uninstall np --namespace "+clients+" --wait --timeout 2m")
	left := lab.Kubectl("-n", clients, "get",
		"deployments,networkpolicies,roles,rolebindings,serviceaccounts", "-o", "name",
		"-l", "app.kubernetes.io/part-of=netpol-latency") +
		// What the release had in the namespace of the targets went with it.
		lab.Kubectl("get", "namespace", "test-policy", "--ignore-not-found", "-o", "name")
	if left != "" {
		t.Errorf("the release has left %s", left)
	}
}

// TestKustomize applies every base for real, measures with it, and has the API server judge the
// overlays.
func TestKustomize(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--delay", "50ms")
	restrict(t, lab, "default")
	for _, scenario := range []string{"policy-creation", "pod-creation"} {
		base := kustomize + scenario
		do(t, lab, "kubectl apply -k "+base)
		lab.Kubectl("patch", "networkpolicy", scenario+"-allow-ingress-to-metrics", "--type=json",
			"-p", fmt.Sprintf(`[{"op":"add","path":"/spec/ingress/0/from/-",`+
				`"value":{"ipBlock":{"cidr":"%s/32"}}}]`, apiServer(t, lab)))
		do(t, lab, "kubectl rollout status --timeout=2m deployment/"+scenario+"-test-client")
		do(t, lab, "kubectl apply -k "+base+"/trigger")
		expectAccount(t, lab, "default", scenario, 20)
		do(t, lab, "kubectl delete -k "+base+"/trigger")
		do(t, lab, "kubectl delete -k "+base)
	}
	lab.Kubectl("create", "namespace", "test-policy")
	do(t, lab, "kubectl apply --dry-run=server -k "+kustomize+"overlays/example")
	defineOperatorKind(t, lab, "podmonitors")
	do(t, lab, "kubectl apply --dry-run=server -k "+kustomize+"components/monitoring")
}

// TestMetricsPolicy shows that the chart's policy admits those who may scrape, and nobody else,
// also where any address stands for the API servers.
func TestMetricsPolicy(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	clients, friends, strangers := lab.Namespace("clients"), lab.Namespace("friends"),
		lab.Namespace("strangers")
	do(t, lab, fmt.Sprintf("helm template x %s --namespace %s --set "+
		"scenario=pod-creation,targets=1,targetNamespace=%[2]s --set-json "+
		`'scrapers=[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":%[3]q}}}],`+
		`apiServers=[{"cidr":"%[4]s/32","port":6443},{"cidr":"0.0.0.0/0","port":6443}]' | `+
		"kubectl apply -f -", chart, clients, friends, apiServer(t, lab)))
	do(t, lab, "kubectl -n "+clients+" rollout status deployment/pod-creation-test-client "+
		"--timeout=2m")
	client := pods(t, lab, clients, "test=np-test-client")[0].Status.PodIP
	for namespace, want := range map[string]bool{friends: true, strangers: false} {
		if got := reaches(t, lab, namespace, client+":9160"); got != want {
			t.Errorf("a pod of namespace %s reaches the metrics: %v; want %v", namespace, got, want)
		}
	}
}

// named is the value that names the API server, for its way to the metrics.
func named(t *testing.T, lab *labtest.Lab) string {
	t.Helper()
	return fmt.Sprintf("'apiServers[0].cidr=%s/32,apiServers[0].port=6443'", apiServer(t, lab))
}

// apiServer is the address of the API server's endpoint.
func apiServer(t *testing.T, lab *labtest.Lab) string {
	t.Helper()
	return strings.TrimSpace(lab.Kubectl("get", "endpointslices", "kubernetes", "-o",
		"jsonpath={.endpoints[0].addresses[0]}"))
}

// reaches reports whether a new pod can open a connection within two seconds.
func reaches(t *testing.T, lab *labtest.Lab, namespace, address string) bool {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "visitor"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "visitor", Image: "netpol-latency/netpol-latency:latest",
				Args: []string{"agent", "startup", "--scenario=pod-startup", "--allowed=" + address,
					"--timeout=2s"},
			}},
		},
	}
	_, err := lab.Client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	must(t, err)
	lab.Await("the visitor to end", patience, func(ctx context.Context) (bool, error) {
		found, err := lab.Client.CoreV1().Pods(namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		return err == nil && (found.Status.Phase == corev1.PodSucceeded ||
			found.Status.Phase == corev1.PodFailed), err
	})
	logs := lab.Kubectl("-n", namespace, "logs", pod.Name)
	if !strings.Contains(logs, `"status":`) {
		t.Fatalf("the visitor has no result:\n%s", logs)
	}
	return strings.Contains(logs, `"status":"measured"`)
}
