// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/trial"
)

// A real Prometheus scrapes both clients and answers the queries that ClusterLoader2 asks.
//
// Debian builds Prometheus without its Kubernetes discovery, so the test does that part: it lists the
// pods, takes the ports named as the original's PodMonitor names them, and hands them to Prometheus.
func TestPrometheus(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("prometheus is missing: \"make packages\" installs it: %v", err)
	}
	const targets = 20
	lab := labtest.Start(t, "--image", "prometheus="+program, "--delay", "50ms")
	histograms := map[string][]string{
		"policy-creation": {"policy_enforcement_latency_policy_creation_seconds"},
		"pod-creation":    {"pod_creation_reachability_latency_seconds", "pod_ip_address_assigned_latency_seconds"},
	}
	runs := make(map[string]trial.Trial)
	for scenario := range histograms {
		run := newTrial(t, lab, scenario, targets)
		run.Name += "-" + scenario
		must(t, run.Setup(t.Context()))
		runs[scenario] = run
	}
	server := startPrometheus(t, lab, scrapeConfig(t, pods(t, lab, "", "test=np-test-client")))
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

// scrapeConfig names every container port called npdelaymetrics.
func scrapeConfig(t *testing.T, clients []corev1.Pod) string {
	t.Helper()
	var found []string
	for _, pod := range clients {
		for _, port := range pod.Spec.Containers[0].Ports {
			if port.Name == "npdelaymetrics" {
				found = append(found, strconv.Quote(fmt.Sprintf("%s:%d", pod.Status.PodIP, port.ContainerPort)))
			}
		}
	}
	if len(found) != 2 {
		t.Fatalf("found %d ports named npdelaymetrics; want 2", len(found))
	}
	return fmt.Sprintf("global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: netpol-latency\n"+
		"    static_configs:\n      - targets: [%s]\n", strings.Join(found, ", "))
}

// startPrometheus runs Prometheus in a pod.
func startPrometheus(t *testing.T, lab *labtest.Lab, config string) *corev1.Pod {
	t.Helper()
	ctx, namespace := t.Context(), lab.Namespace("monitoring")
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
