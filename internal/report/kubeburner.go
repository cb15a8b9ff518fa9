// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"io"
	"math"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// burnerQuantiles is a quantile document as kube-burner indexes it: whole milliseconds.
type burnerQuantiles struct {
	QuantileName string         `json:"quantileName"`
	UUID         string         `json:"uuid"`
	P99          *int64         `json:"P99,omitempty"`
	P95          *int64         `json:"P95,omitempty"`
	P50          *int64         `json:"P50,omitempty"`
	Min          *int64         `json:"min,omitempty"`
	Max          *int64         `json:"max,omitempty"`
	Average      *int64         `json:"avg,omitempty"`
	Timestamp    time.Time      `json:"timestamp"`
	MetricName   string         `json:"metricName"`
	JobName      string         `json:"jobName"`
	Metadata     map[string]any `json:"metadata"`
}

// KubeBurner writes a list with a document for each result of each run. A statistic that is only
// known to be longer than something is left out; the account in the metadata says why.
func KubeBurner(w io.Writer, reports []Report) error {
	all := []burnerQuantiles{}
	for _, report := range reports {
		for _, summary := range report.Assessment.Summaries() {
			if !summary.Kind.Stays() && len(summary.Latency) > 0 {
				all = append(all, burnerOf(report.Source, summary))
			}
		}
	}
	return writeJSON(w, all)
}

func burnerOf(source Source, summary measure.Summary) burnerQuantiles {
	at := func(q float64) *int64 {
		found := summary.Quantile(q)
		return milliseconds(found.Value, found.Censored)
	}

	account := make(map[string]int)
	for _, status := range measure.Statuses() {
		account[status.String()] = summary.Account.Count(status)
	}

	return burnerQuantiles{
		QuantileName: summary.Scenario, UUID: source.Run.ID, P99: at(0.99), P95: at(0.95),
		P50: at(0.5), Min: at(0), Max: at(1),
		Average: milliseconds(summary.Mean()), Timestamp: source.Run.Ended.UTC(),
		MetricName: "netpolLatencyQuantilesMeasurement", JobName: "netpol-latency",
		Metadata: map[string]any{
			"setting": summary.Setting, "kubernetes": source.Run.Kubernetes,
			"expected": summary.Account.Expected, "account": account,
			"resolutionNs": summary.Resolution.Quantile(0.5),
		},
	}
}

// milliseconds rounds a statistic that is known.
func milliseconds(statistic time.Duration, censored measure.Censoring) *int64 {
	if censored != measure.Exact {
		return nil
	}
	rounded := int64(math.Round(float64(statistic) / float64(time.Millisecond)))
	return &rounded
}
