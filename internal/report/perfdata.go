// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// perfData is version v1 of the performance data of Kubernetes' load tests, which perfdash reads.
type perfData struct {
	Version string            `json:"version"`
	Items   []perfItem        `json:"dataItems"`
	Labels  map[string]string `json:"labels,omitempty"`
}

type perfItem struct {
	Data   map[string]float64 `json:"data"`
	Unit   string             `json:"unit"`
	Labels map[string]string  `json:"labels,omitempty"`
}

// PerfData writes the documents of all runs one after the other.
func PerfData(w io.Writer, reports []Report) error {
	files, err := perfDataFiles(reports)
	if err != nil {
		return err
	}
	for _, file := range files {
		if _, err := w.Write(file.Content); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// perfDataFiles are one document for each run and scenario, named as those of ClusterLoader2's
// Prometheus queries.
func perfDataFiles(reports []Report) ([]File, error) {
	var files []File
	for _, report := range reports {
		source := report.Source
		var names []string
		documents := make(map[string]*perfData)
		for _, summary := range report.Assessment.Summaries() {
			if summary.Kind.Stays() {
				continue
			}
			if documents[summary.Scenario] == nil {
				names = append(names, summary.Scenario)
				documents[summary.Scenario] = &perfData{Version: "v1", Labels: perfLabels(source)}
			}
			one := documents[summary.Scenario]
			one.Items = append(one.Items, perfItemOf(summary))
		}
		for _, name := range names {
			var content bytes.Buffer
			if err := writeJSON(&content, documents[name]); err != nil {
				return nil, err
			}
			files = append(files, File{perfName(source, name), content.Bytes()})
		}
	}

	return files, nil
}

// perfName is the name of a document: perfdash takes it apart at the underscores.
func perfName(source Source, scenario string) string {
	plain := strings.NewReplacer("/", "-", "_", "-", " ", "-")
	return fmt.Sprintf("GenericPrometheusQuery NetpolLatency-%s_netpol-latency-%s_%s.json",
		plain.Replace(scenario),
		plain.Replace(source.Run.ID), source.Run.Ended.UTC().Format(time.RFC3339))
}

func perfLabels(source Source) map[string]string {
	return map[string]string{"run": source.Run.ID, "kubernetes": source.Run.Kubernetes,
		"version": source.Run.Version}
}

// perfItemOf has the quantiles in seconds. One that is only known to be longer is left out: it has
// no value.
func perfItemOf(summary measure.Summary) perfItem {
	item := perfItem{Data: make(map[string]float64), Unit: "s", Labels: map[string]string{
		"Metric": summary.Scenario, "Expected": strconv.Itoa(summary.Account.Expected),
	}}

	if summary.Setting != "" {
		item.Labels["Setting"] = summary.Setting
	}

	for _, status := range measure.Statuses() {
		if n := summary.Account.Count(status); n > 0 {
			item.Labels[strings.ToUpper(status.String()[:1])+status.String()[1:]] = strconv.Itoa(n)
		}
	}

	for _, percent := range []int{50, 90, 95, 99} {
		found := summary.Quantile(float64(percent) / 100)
		if len(summary.Latency) > 0 && found.Censored == measure.Exact {
			item.Data[fmt.Sprintf("Perc%d", percent)] = found.Value.Seconds()
		}
	}

	return item
}
