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
			Scenario: "policy-deny", Status: measure.Measured, Want: measure.StateBlocked,
			Iteration:  2,
			Agent:      1,
			Client:     measure.Object{Namespace: "agents", Name: "agent-1", UID: "u"},
			ClientNode: "node-1", TargetNode: "node-2",
			Start: measure.Start{Source: measure.StartWrite, At: at, Uncertainty: time.Millisecond},
			Bracket: measure.Bracket{
				Lower: at.Add(10 * time.Millisecond), Upper: at.Add(12 * time.Millisecond),
			},
		},
		{Scenario: "policy-deny", Status: measure.Measured, Kind: measure.KindBlocked, Leaks: 3},
	}
	summaries := []measure.Summary{measure.Summarize("policy-deny", samples[:1])}
	must(t, directory.Append(samples))
	must(t, directory.Save(Run{ID: "x", Began: at, State: StateComplete}, summaries))
	run, read, err := directory.Read()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(samples, read, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("samples (-written +read):\n%s", diff)
	}
	var digests []Summary
	readJSON(t, filepath.Join(path, "summary.json"), &digests)
	if len(digests) != 1 || digests[0].Statuses["measured"] != 1 ||
		digests[0].Latency["p50"].Value != 10500*time.Microsecond {
		t.Errorf("the summary is %+v", digests)
	}
	if run.Schema != Schema || run.ID != "x" {
		t.Errorf("the run is %+v", run)
	}
	if _, err := Create(path); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("a directory with results is used again: %v", err)
	}
}

// TestDirectoryThatIsNone says what a directory lacks.
func TestDirectoryThatIsNone(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"empty": {nil, "has no run.json"},
		"newer": {map[string]string{"run.json": `{"schema":99}`},
			"its schema is 99; this version reads 1 to 3"},
		"no schema": {map[string]string{"run.json": `{}`}, "its schema is 0"},
		"not JSON":  {map[string]string{"run.json": `{`}, "run.json: unexpected end"},
		"half":      {map[string]string{"run.json": `{"schema":1}`}, "samples.jsonl: no such file"},
		"bad line": {
			map[string]string{"run.json": `{"schema":1}`,
				"samples.jsonl": `{"schema":1,"status":"odd"}`}, "read sample 1",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			for name, content := range test.files {
				if err := os.WriteFile(filepath.Join(path, name), []byte(content),
					0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := Directory(path).Read(); err == nil ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v; want %q in it", err, test.want)
			}
		})
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
