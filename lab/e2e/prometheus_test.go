// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/need"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// prometheusProgram is the path of the program.
func prometheusProgram(t *testing.T) string {
	t.Helper()
	return need.Program(t, "prometheus",
		"make prometheus builds it into bin/: put that on the PATH")
}

// defineOperatorKind makes a kind known that the Prometheus operator defines in clusters, so that a
// real API server judges our objects by it.
func defineOperatorKind(t *testing.T, lab *labtest.Lab, plural string) {
	t.Helper()
	const module = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	output, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json",
		module).Output()
	if err != nil {
		t.Fatalf("download %s: %v: %s", module, err, output)
	}
	var downloaded struct{ Dir string }
	must(t, json.Unmarshal(output, &downloaded))
	definitions := filepath.Join(downloaded.Dir, "example", "prometheus-operator-crd")
	lab.Kubectl("create", "-f", filepath.Join(definitions, "monitoring.coreos.com_"+plural+".yaml"))
	// kubectl fails on a definition that has no conditions yet.
	lab.Await("the kind "+plural, patience, func(context.Context) (bool, error) {
		served, err := lab.Client.Discovery().ServerResourcesForGroupVersion(
			"monitoring.coreos.com/v1")
		return err == nil && slices.ContainsFunc(served.APIResources,
			func(one metav1.APIResource) bool { return one.Name == plural }), err
	})
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
func podMonitors(t *testing.T, lab *labtest.Lab, want int) []podMonitor {
	t.Helper()
	var list struct{ Items []podMonitor }
	must(t, json.Unmarshal([]byte(lab.Kubectl("get", "podmonitors", "-A", "-o", "json")), &list))
	if len(list.Items) != want {
		t.Fatalf("found %d PodMonitors; want one for each of %d clients", len(list.Items), want)
	}
	return list.Items
}

// scrapeConfig does the operator's part: every PodMonitor becomes a discovery of pods in its
// namespace, of which those are kept whose labels and whose port's name are as it says, with labels
// of their origin. Settings are for all of them.
func scrapeConfig(t *testing.T, monitors []podMonitor, settings map[string]any) string {
	t.Helper()
	var jobs []map[string]any
	for _, monitor := range monitors {
		var relabel []map[string]any
		keep := func(label, value string) {
			relabel = append(relabel, map[string]any{"action": "keep",
				"source_labels": []string{label}, "regex": value})
		}
		for key, value := range monitor.Spec.Selector.MatchLabels {
			keep("__meta_kubernetes_pod_label_"+key, value)
		}
		keep("__meta_kubernetes_pod_container_port_name", monitor.Spec.PodMetricsEndpoints[0].Port)
		for label, from := range map[string]string{
			"namespace": "__meta_kubernetes_namespace", "pod": "__meta_kubernetes_pod_name",
			"container": "__meta_kubernetes_pod_container_name",
		} {
			relabel = append(relabel, map[string]any{"source_labels": []string{from},
				"target_label": label})
		}
		namespaces := map[string]any{"names": []string{monitor.Metadata.Namespace}}
		jobs = append(jobs, map[string]any{
			"job_name": "podMonitor/" + monitor.Metadata.Namespace + "/" +
				monitor.Metadata.Name,
			"kubernetes_sd_configs": []map[string]any{{"role": "pod", "namespaces": namespaces}},
			"relabel_configs":       relabel,
		})
	}
	global := map[string]any{"scrape_interval": "1s", "evaluation_interval": "1s"}
	maps.Copy(global, settings)
	config, err := json.MarshalIndent(map[string]any{
		"global": global, "scrape_configs": jobs, "rule_files": []string{"/config/rules*.yaml"},
	}, "", "  ")
	must(t, err)
	return string(config) // JSON is YAML too
}

// startPrometheus runs Prometheus in a pod in a namespace of its own, with the files in its
// directory.
func startPrometheus(
	t *testing.T, lab *labtest.Lab, name string, files map[string]string,
) *corev1.Pod {
	t.Helper()
	ctx, namespace := t.Context(), lab.Namespace(name)
	lab.Kubectl("create", "clusterrolebinding", name, "--clusterrole=view",
		"--serviceaccount="+namespace+":default")
	_, err := lab.Client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "prometheus"}, Data: files,
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = lab.Client.CoreV1().Pods(namespace).Create(ctx, prometheusPod(),
		metav1.CreateOptions{})
	must(t, err)
	return lab.AwaitReady(namespace, "prometheus", patience)
}

func prometheusPod() *corev1.Pod {
	config := corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: "prometheus"},
	}
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
				{Name: "data",
					VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
		},
	}
}

// ask sends a question to Prometheus's HTTP API.
func ask(
	ctx context.Context, lab *labtest.Lab, server *corev1.Pod, path string,
	parameters map[string]string,
) ([]byte, error) {
	return lab.Client.CoreV1().Pods(server.Namespace).
		ProxyGet("http", server.Name, "9090", "api/v1/"+path, parameters).DoRaw(ctx)
}

// awaitQuery asks until the one value of the answer is as expected: scrapes come when they come.
func awaitQuery(
	t *testing.T, lab *labtest.Lab, server *corev1.Pod, query string, expected func(float64) bool,
) float64 {
	t.Helper()
	var value float64
	lab.Await("the answer to "+query, patience, func(ctx context.Context) (bool, error) {
		body, err := ask(ctx, lab, server, "query", map[string]string{"query": query})
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
