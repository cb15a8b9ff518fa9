// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Metrics are what a client exposes. The three histograms without a prefix are those of the
// original clients, with their definitions; docs/compatibility.md describes all of them.
type Metrics struct {
	addressAssigned prometheus.Histogram
	podReached      prometheus.Histogram
	policyEnforced  prometheus.Histogram

	targets    *prometheus.GaugeVec
	results    *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	resolution *prometheus.HistogramVec
	probes     *prometheus.CounterVec
	late       *prometheus.HistogramVec
}

// NewMetrics returns the metrics of one client, registered nowhere yet.
func NewMetrics() *Metrics {
	return &Metrics{
		addressAssigned: prometheus.NewHistogram(
			histogram(
				"pod_ip_address_assigned_latency_seconds",
				"Time from a pod's creationTimestamp to the arrival of its address "+
					"at this client's watch.",
			),
		),
		podReached: prometheus.NewHistogram(histogram("pod_creation_reachability_latency_seconds",
			"Time from the arrival of a pod's address to the first response of the pod.")),
		policyEnforced: prometheus.NewHistogram(histogram(
			"policy_enforcement_latency_policy_creation_seconds",
			"Time from the allow policy's creationTimestamp to the first response of a target.")),
		targets: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "netpol_latency_targets_expected",
			Help: "Targets that must end with a result.",
		}, []string{"scenario"}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netpol_latency_targets_total",
			Help: "Targets that ended, by status: measured, censored, invalid, deleted or " +
				"unobserved.",
		}, []string{"scenario", "status"}),
		latency: prometheus.NewHistogramVec(histogram("netpol_latency_transition_seconds",
			"Estimated time from the start that the label names to the pair's transition."),
			[]string{"scenario", "transition", "start"}),
		resolution: prometheus.NewHistogramVec(histogram("netpol_latency_resolution_seconds",
			"Width of the interval that contains the latency."), []string{"scenario"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netpol_latency_probes_total",
			Help: "Probes that ended, by verdict.",
		}, []string{"scenario", "verdict"}),
		late: prometheus.NewHistogramVec(histogram("netpol_latency_probe_lateness_seconds",
			"How much later than planned a probe was launched."), []string{"scenario"}),
	}
}

// histogram has the original's bounds (0.1 0.5 1 3 5 10 30 60 300 600 1800 3600), finer ones where
// enforcement is fast, and a native histogram for servers that understand it.
func histogram(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name,
		Help: help,
		Buckets: []float64{
			.001, .0025, .005, .01, .025, .05, .1, .25, .5,
			1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600,
			1800, 3600,
		},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// Collectors lists everything to register.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.addressAssigned, m.podReached, m.policyEnforced,
		m.targets, m.results, m.latency, m.resolution, m.probes, m.late,
	}
}

// begin makes every series of the scenario exist from the start, so that a count of zero is
// visible, and returns those that every probe counts in.
func (m *Metrics) begin(scenario string) *probeCounters {
	m.targets.WithLabelValues(scenario).Set(0)
	for _, status := range measure.Statuses() {
		m.results.WithLabelValues(scenario, status.String())
	}
	counters := &probeCounters{late: m.late.WithLabelValues(scenario)}
	for _, verdict := range measure.Verdicts() {
		counters.ended[verdict] = m.probes.WithLabelValues(scenario, verdict.String())
	}
	return counters
}

// probeCounters are what every probe of a scenario counts in, looked up once.
type probeCounters struct {
	ended [measure.VerdictCount]prometheus.Counter
	late  prometheus.Observer
}

// Probe counts a probe that ended. The agents of a runner have no metrics, and no counters.
func (c *probeCounters) Probe(o measure.Outcome) {
	if c == nil {
		return
	}
	c.ended[o.Verdict].Inc()
	c.late.Observe(o.Sent.Sub(o.Planned).Seconds())
}

// Sample observes a pair that ended.
func (m *Metrics) Sample(sample measure.Sample) {
	m.results.WithLabelValues(sample.Scenario, sample.Status.String()).Inc()
	if sample.Status != measure.Measured {
		return
	}
	// of one that was reached at once the most that it can be
	latency, known, _ := sample.Observed()
	m.latency.WithLabelValues(sample.Scenario, "allowed", string(sample.Start.Source)).
		Observe(seconds(latency))
	if known == measure.Exact {
		m.resolution.WithLabelValues(sample.Scenario).
			Observe(seconds(sample.Latency().Resolution()))
	}
}

// seconds never falls below zero, which a histogram's sum could not take; a latency below zero
// means that enforcement was faster than its own notification, or that two clocks disagree.
func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }
