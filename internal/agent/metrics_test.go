// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// The values, not only the names: one pod created at 0 s, with an address at 3 s, reached 1.234 s
// later.
func TestMetricsOfPodCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.config.MaxTargets = 1
		b.start(PodCreation())
		fresh := pod("new", "new", "")
		b.createPod(fresh)
		time.Sleep(3 * time.Second)
		b.assign(fresh, "10.0.0.1")
		time.Sleep(1234 * time.Millisecond)
		b.network.open("10.0.0.1")
		time.Sleep(time.Second)

		if got := sum(t, b.env.metrics.addressAssigned); got != 3 {
			t.Errorf("pod_ip_address_assigned_latency_seconds is %v; want 3", got)
		}
		reached := sum(t, b.env.metrics.podReached)
		if most := 1.234 + b.config.ProbeInterval.Seconds() + .002; reached < 1.234 ||
			reached > most {
			t.Errorf("pod_creation_reachability_latency_seconds is %v; want 1.234 to %v", reached,
				most)
		}
		want := strings.NewReader(`
# HELP netpol_latency_targets_expected Targets that must end with a result.
# TYPE netpol_latency_targets_expected gauge
netpol_latency_targets_expected{scenario="pod-creation"} 1
# HELP netpol_latency_targets_total Targets that ended, by status: measured, censored, ` +
			`invalid, deleted or unobserved.
# TYPE netpol_latency_targets_total counter
netpol_latency_targets_total{scenario="pod-creation",status="censored"} 0
netpol_latency_targets_total{scenario="pod-creation",status="deleted"} 0
netpol_latency_targets_total{scenario="pod-creation",status="invalid"} 0
netpol_latency_targets_total{scenario="pod-creation",status="measured"} 1
netpol_latency_targets_total{scenario="pod-creation",status="unobserved"} 0
`)
		registry := prometheus.NewRegistry()
		registry.MustRegister(b.env.metrics.Collectors()...)
		if err := testutil.GatherAndCompare(registry, want,
			"netpol_latency_targets_expected", "netpol_latency_targets_total"); err != nil {
			t.Error(err)
		}
	})
}

// The bounds of the original's histograms are still there, so that queries by bound keep working.
func TestHistogramBounds(t *testing.T) {
	have := make(map[float64]bool)
	for _, bound := range histogram("x", "y").Buckets {
		have[bound] = true
	}
	for _, bound := range []float64{.1, .5, 1, 3, 5, 10, 30, 60, 300, 600, 1800, 3600} {
		if !have[bound] {
			t.Errorf("bound %v is missing", bound)
		}
	}
}

func TestHTTP(t *testing.T) {
	results := &results{}
	progress := newProgress()
	routes, err := handler(NewMetrics(), results, progress)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) (int, string) {
		response := httptest.NewRecorder()
		routes.ServeHTTP(response, httptest.NewRequest("GET", path, nil))
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.Code, string(body)
	}
	if code, _ := get("/healthz"); code != 200 {
		t.Errorf("/healthz answers %d; want 200", code)
	}
	if code, _ := get("/readyz"); code != 503 {
		t.Errorf("/readyz answers %d before the watches are ready; want 503", code)
	}
	progress.ready.send()
	if code, _ := get("/readyz"); code != 200 {
		t.Errorf("/readyz answers %d; want 200", code)
	}
	if code, body := get("/metrics"); code != 200 ||
		!strings.Contains(body, "pod_creation_reachability_latency_seconds_bucket") {
		t.Errorf("/metrics answers %d without the histograms:\n%s", code, body)
	}
	results.expect()
	results.record(measure.Sample{Scenario: "pod-creation", Status: measure.Deleted})
	progress.concluded.send()
	_, body := get("/samples?wait=true")
	samples, err := result.Read(strings.NewReader(body))
	if err != nil || len(samples) != 1 || samples[0].Status != measure.Deleted {
		t.Errorf("/samples answers %q: %v", body, err)
	}
}

// sum is the sum of a histogram's one observation.
func sum(t *testing.T, histogram prometheus.Histogram) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(histogram)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	value := families[0].GetMetric()[0].GetHistogram()
	if value.GetSampleCount() != 1 {
		t.Fatalf("%s has %d observations; want 1", families[0].GetName(), value.GetSampleCount())
	}
	return value.GetSampleSum()
}
