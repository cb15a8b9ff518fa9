// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

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
	if err := directory.Write(result.Run{ID: "x"}, samples, nil); err != nil {
		t.Fatal(err)
	}
	source, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	summaries := source.Summaries()
	if source.Run.ID != "x" || len(summaries) != 2 || summaries[1].Account.Expected != 2 {
		t.Errorf("the source is %+v with summaries %+v", source, summaries)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "run.json") {
		t.Errorf("an empty directory is read: %v", err)
	}
}

func TestCommand(t *testing.T) {
	got := Command(result.Run{Command: []string{"run", "--threshold", "policy-deny.p99<1s", "it's",
		"", "a=b"}})
	want := `netpol-latency run --threshold 'policy-deny.p99<1s' 'it'\''s' '' a=b`
	if got != want {
		t.Errorf("the command is %s; want %s", got, want)
	}
}
