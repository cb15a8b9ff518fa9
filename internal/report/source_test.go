// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// earlier is run.json as the version 6af8a4f wrote it: of a scenario in two settings whose label is
// the same, and of another with a label that says less than its settings.
const earlier = `{
  "schema": 1,
  "id": "b1ba14d1",
  "version": "(devel)",
  "began": "2026-11-23T12:36:13.055451302Z",
  "ended": "2026-11-23T12:36:53.383275459Z",
  "command": ["run", "-c", "suite.yaml"],
  "kubernetes": "v1.37.2",
  "plugins": null,
  "nodes": [{"name": "node-0", "kernel": "6.18.44", "os": "netpol-latency lab"}],
  "scenarios": [
    {
      "scenario": "policy-deny",
      "settings": {
        "direction": "egress", "protocol": "TCP", "family": "IPv4", "peer": "podSelector", "port": "number",
        "targets": 20, "agents": 1, "repeat": 3, "placement": "any", "probe": "connect", "timeoutNs": 60000000000
      },
      "agentNodes": ["node-0"], "targetNodes": ["node-0"]
    },
    {
      "scenario": "policy-deny",
      "settings": {
        "direction": "egress", "protocol": "TCP", "family": "IPv4", "peer": "podSelector", "port": "number",
        "targets": 20, "agents": 1, "repeat": 3, "placement": "any", "probe": "connect", "timeoutNs": 5000000000
      },
      "agentNodes": ["node-0"], "targetNodes": ["node-0"]
    },
    {
      "scenario": "pod-creation",
      "setting": "5 targets, baseline",
      "settings": {
        "direction": "egress", "protocol": "TCP", "family": "IPv4", "peer": "podSelector", "port": "number",
        "baseline": true, "targets": 5, "agents": 1, "repeat": 1, "placement": "any", "probe": "syn",
        "timeoutNs": 30000000000
      },
      "agentNodes": ["node-0"], "targetNodes": null
    }
  ]
}`

// TestOpenEarlier reads what an earlier version wrote, under the labels of this one as far as the
// samples can be told apart.
func TestOpenEarlier(t *testing.T) {
	path := t.TempDir()
	samples := `{"schema":1,"scenario":"policy-deny","status":"measured","want":"blocked","round":1}
{"schema":1,"scenario":"pod-creation","status":"measured","setting":"5 targets, baseline","want":"allowed","round":2}
`
	for name, content := range map[string]string{"run.json": earlier, "samples.jsonl": samples} {
		if err := os.WriteFile(filepath.Join(path, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source, err := Open(path, setting.All())
	if err != nil {
		t.Fatal(err)
	}

	got := []string{source.Samples[0].Setting, source.Samples[1].Setting,
		source.Run.Scenarios[2].Setting}
	const label = "5 targets, baseline, timeout 30s, probe syn"
	if diff := cmp.Diff([]string{"", label, label}, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if len(source.Run.Warnings) != 1 || !strings.Contains(source.Run.Warnings[0],
		"policy-deny was run with settings that") {
		t.Errorf("the warnings are %q; want one about the results that are taken together",
			source.Run.Warnings)
	}
	settings := source.Settings.Recall(source.Run.Scenarios[2].Settings)
	if settings.Targets != 5 || !settings.Baseline || settings.Timeout != 30*time.Second ||
		settings.Probe != "syn" {
		t.Errorf("the settings are %+v", settings)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	directory, err := result.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	samples := []measure.Sample{
		{Scenario: "policy-deny", Status: measure.Censored},
		{Scenario: "pod-label", Status: measure.Measured},
		{Scenario: "policy-deny", Status: measure.Measured},
	}
	err = errors.Join(directory.Append(samples), directory.Save(result.Run{ID: "x"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	source, err := Open(path, setting.All())
	if err != nil {
		t.Fatal(err)
	}
	summaries := source.Summaries()
	if source.Run.ID != "x" || len(summaries) != 2 || summaries[1].Account.Expected != 2 {
		t.Errorf("the source is %+v with summaries %+v", source, summaries)
	}
	if _, err := Open(t.TempDir(), setting.All()); err == nil ||
		!strings.Contains(err.Error(), "run.json") {
		t.Errorf("an empty directory is read: %v", err)
	}
}
