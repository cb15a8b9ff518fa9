// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// TestDirectory writes a run and reads it as a program of somebody else would.
func TestDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	directory, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1000, 0).UTC()
	samples := []measure.Sample{
		{
			Scenario: "policy-deny", Status: measure.Measured, Want: measure.StateBlocked, Round: 2, Agent: 1,
			Client: measure.Object{Namespace: "agents", Name: "agent-1", UID: "u"},
			Start:  measure.Start{Source: measure.StartWrite, At: at, Uncertainty: time.Millisecond},
			Bracket: measure.Bracket{
				Lower: at.Add(10 * time.Millisecond), Upper: at.Add(12 * time.Millisecond),
			},
		},
		{Scenario: "policy-deny", Status: measure.Measured, Forbidden: true, Leaks: 3},
	}
	summaries := []measure.Summary{measure.Summarize("policy-deny", samples[:1])}
	if err := directory.Write(Run{ID: "x", Began: at}, samples, summaries); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(path, "samples.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(samples, read, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("samples (-written +read):\n%s", diff)
	}
	var digests []Summary
	readJSON(t, filepath.Join(path, "summary.json"), &digests)
	if len(digests) != 1 || digests[0].Statuses["measured"] != 1 || digests[0].Latency["p50"].Value != 10500*time.Microsecond {
		t.Errorf("the summary is %+v", digests)
	}
	var run Run
	readJSON(t, filepath.Join(path, "run.json"), &run)
	if run.Schema != Schema || run.ID != "x" {
		t.Errorf("the run is %+v", run)
	}
	if _, err := Create(path); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("a directory with results is used again: %v", err)
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPlan(t *testing.T) {
	plan := Plan{
		Round: 3, Step: StepProve, Scenario: "x", IPv6: true, Ping: 7,
		Expect: []Expect{{Group: "a", Port: 80, Want: "allowed", Part: "open"}, {Group: "b", Port: 81, Forbidden: true}},
	}
	read, err := ParsePlan(plan.String())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan, read); diff != "" {
		t.Errorf("plan (-written +read):\n%s", diff)
	}
	if name := plan.Expect[0].Name("x"); name != "x/open" {
		t.Errorf("the name is %q; want x/open", name)
	}
	if _, err := ParsePlan("{"); err == nil {
		t.Error("half a plan is no error")
	}
}
