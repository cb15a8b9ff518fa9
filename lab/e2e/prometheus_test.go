// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/trial"
)

// TestPrometheus lets a real Prometheus find both clients by the PodMonitors that the manifests create,
// scrape them and answer the queries that ClusterLoader2 asks.
func TestPrometheus(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("prometheus is missing: \"make prometheus\" builds it into bin/: put that on the PATH: %v", err)
	}
	const targets = 20
	lab := labtest.Start(t, "--image", "prometheus="+program, "--delay", "50ms")
	lab.Kubectl("create", "-f", podMonitorCRD(t))
	lab.Kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/podmonitors.monitoring.coreos.com")
	histograms := map[string][]string{
		"policy-creation": {"policy_enforcement_latency_policy_creation_seconds"},
		"pod-creation":    {"pod_creation_reachability_latency_seconds", "pod_ip_address_assigned_latency_seconds"},
	}
	runs := make(map[string]trial.Trial)
	for scenario := range histograms {
		run := newTrial(t, lab, scenario, targets)
		run.Name += "-" + scenario
		run.ManifestArgs = []string{"--pod-monitor"}
		must(t, run.Setup(t.Context()))
		runs[scenario] = run
	}
	server := startPrometheus(t, lab, scrapeConfig(t, podMonitors(t, lab)))
	for scenario, names := range histograms {
		must(t, runs[scenario].Trigger(t.Context()))
		found, err := runs[scenario].Collect(t.Context())
		must(t, err)
		expectMeasured(t, found, targets)
		for _, name := range names {
			awaitQuery(t, lab, server, fmt.Sprintf("sum(%s_count)", name), func(v float64) bool { return v == targets })
			quantile := fmt.Sprintf("histogram_quantile(0.99, sum(%s_bucket) by (le))", name)
			value := awaitQuery(t, lab, server, quantile, func(v float64) bool { return v > 0 && !math.IsInf(v, 0) })
			t.Logf("%s = %v", quantile, value)
		}
		all := fmt.Sprintf(`sum(netpol_latency_targets_total{scenario=%q,status="measured"})`, scenario)
		awaitQuery(t, lab, server, all, func(v float64) bool { return v == targets })
	}
}

// podMonitorCRD is the file of the definition that the Prometheus operator installs in clusters, so that a
// real API server judges the manifests' PodMonitors by it.
func podMonitorCRD(t *testing.T) string {
	t.Helper()
	const module = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	output, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module).Output()
	if err != nil {
		t.Fatalf("download %s: %v: %s", module, err, output)
	}
	var downloaded struct{ Dir string }
	must(t, json.Unmarshal(output, &downloaded))
	return filepath.Join(downloaded.Dir, "example", "prometheus-operator-crd", "monitoring.coreos.com_podmonitors.yaml")
}

// podMonitor is what the test reads of the object.
type podMonitor struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Selector            metav1.LabelSelector    `json:"selector"`
		PodMetricsEndpoints []struct{ Port string } `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

// podMonitors are those that the API server has accepted.
func podMonitors(t *testing.T, lab *labtest.Lab) []podMonitor {
	t.Helper()
	var list struct{ Items []podMonitor }
	must(t, json.Unmarshal([]byte(lab.Kubectl("get", "podmonitors", "-A", "-o", "json")), &list))
	if len(list.Items) != 2 {
		t.Fatalf("found %d PodMonitors; want one for each client", len(list.Items))
	}
	return list.Items
}

// scrapeConfig does the operator's part: every PodMonitor becomes a discovery of pods in its namespace, of
// which those are kept whose labels and whose port's name are as it says.
func scrapeConfig(t *testing.T, monitors []podMonitor) string {
	t.Helper()
	var jobs []map[string]any
	for _, monitor := range monitors {
		var relabel []map[string]any
		keep := func(label, value string) {
			relabel = append(relabel, map[string]any{"action": "keep", "source_labels": []string{label}, "regex": value})
		}
		for key, value := range monitor.Spec.Selector.MatchLabels {
			keep("__meta_kubernetes_pod_label_"+key, value)
		}
		keep("__meta_kubernetes_pod_container_port_name", monitor.Spec.PodMetricsEndpoints[0].Port)
		namespaces := map[string]any{"names": []string{monitor.Metadata.Namespace}}
		jobs = append(jobs, map[string]any{
			"job_name":              "podMonitor/" + monitor.Metadata.Namespace + "/" + monitor.Metadata.Name,
			"kubernetes_sd_configs": []map[string]any{{"role": "pod", "namespaces": namespaces}},
			"relabel_configs":       relabel,
		})
	}
	config, err := json.MarshalIndent(map[string]any{
		"global": map[string]any{"scrape_interval": "1s"}, "scrape_configs": jobs,
	}, "", "  ")
	must(t, err)
	return string(config) // JSON is YAML too
}

// startPrometheus runs Prometheus in a pod.
func startPrometheus(t *testing.T, lab *labtest.Lab, config string) *corev1.Pod {
	t.Helper()
	ctx, namespace := t.Context(), lab.Namespace("monitoring")
	lab.Kubectl("create", "clusterrolebinding", "prometheus", "--clusterrole=view", "--serviceaccount="+namespace+":default")
	_, err := lab.Client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "prometheus"}, Data: map[string]string{"prometheus.yml": config},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = lab.Client.CoreV1().Pods(namespace).Create(ctx, prometheusPod(), metav1.CreateOptions{})
	must(t, err)
	return lab.AwaitReady(namespace, "prometheus", time.Minute)
}

func prometheusPod() *corev1.Pod {
	config := corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "prometheus"}}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "prometheus"},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "prometheus", Image: "prometheus",
				Args: []string{
					"--config.file=/config/prometheus.yml", "--storage.tsdb.path=/data",
					"--web.listen-address=:9090",
				},
				Ports: []corev1.ContainerPort{{ContainerPort: 9090}},
				VolumeMounts: []corev1.VolumeMount{
					{Name: "config", MountPath: "/config"}, {Name: "data", MountPath: "/data"},
				},
			}},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &config}},
				{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
		},
	}
}

// awaitQuery asks until the one value of the answer is as expected: scrapes come when they come.
func awaitQuery(t *testing.T, lab *labtest.Lab, server *corev1.Pod, query string, expected func(float64) bool) float64 {
	t.Helper()
	var value float64
	lab.Await("the answer to "+query, time.Minute, func(ctx context.Context) (bool, error) {
		body, err := lab.Client.CoreV1().Pods(server.Namespace).ProxyGet("http", server.Name, "9090",
			"api/v1/query", map[string]string{"query": query}).DoRaw(ctx)
		if err != nil {
			return false, err
		}
		var known bool
		value, known, err = parseAnswer(body)
		if err == nil && known && !expected(value) {
			err = fmt.Errorf("the answer is %v", value)
		}
		return err == nil && known, err
	})
	return value
}

// parseAnswer takes the single value from an answer of Prometheus's HTTP API.
func parseAnswer(body []byte) (value float64, known bool, err error) {
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, false, fmt.Errorf("read %q: %w", strings.TrimSpace(string(body)), err)
	}
	if len(answer.Data.Result) != 1 {
		return 0, false, nil
	}
	text, _ := answer.Data.Result[0].Value[1].(string) // another type has no number either
	value, err = strconv.ParseFloat(text, 64)
	return value, err == nil, err
}
