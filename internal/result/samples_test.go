// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bytes"
	"fmt"
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

func samples() []measure.Sample {
	at := func(ms int) time.Time {
		return time.Date(2026, 1, 2, 3, 4, 5, 6789,
			time.UTC).Add(time.Duration(ms) * time.Millisecond)
	}
	measured := measure.Sample{
		Scenario: "policy-creation",
		Target: measure.Target{
			Pod:     measure.Object{Namespace: "targets", Name: "web-0", UID: "u-1"},
			Address: netip.MustParseAddrPort("[fd00::1]:80"),
		},
		Status:   measure.Measured,
		Start:    measure.Start{Source: measure.StartCreation, At: at(0), Uncertainty: time.Second},
		Bracket:  measure.Bracket{Lower: at(300), Upper: at(311)},
		Ended:    at(800),
		Created:  at(-100),
		Assigned: at(-5000),
		Baseline: measure.Rejected,
		Warnings: []string{"the clocks disagree"},
	}
	measured.Probes[measure.Allowed], measured.Probes[measure.Rejected] = 2, 30
	return []measure.Sample{measured, {
		Scenario: "policy-creation",
		Target: measure.Target{
			Pod:     measure.Object{Namespace: "targets", Name: "web-1", UID: "u-2"},
			Address: netip.MustParseAddrPort("10.0.0.1:80"),
		},
		Status: measure.Censored, Reason: "the run ended before the target was reached",
	}}
}

func TestWrittenSamplesAreReadBack(t *testing.T) {
	var stream bytes.Buffer
	if err := Write(&stream, samples()); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&stream)
	if err != nil {
		t.Fatal(err)
	}
	compareAddresses := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	if diff := cmp.Diff(samples(), got, compareAddresses, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("samples changed on their way (-want +got):\n%s", diff)
	}
}

// What this version writes is in testdata, and stays readable by all later versions.
func TestSchema(t *testing.T) {
	var stream bytes.Buffer
	if err := Write(&stream, samples()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", fmt.Sprintf("schema%d.jsonl", Schema))
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), stream.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestOldSchemas reads what earlier versions have written: the same samples.
func TestOldSchemas(t *testing.T) {
	for schema := 1; schema < Schema; schema++ {
		file, err := os.Open(filepath.Join("testdata", fmt.Sprintf("schema%d.jsonl", schema)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(file)
		_ = file.Close() // everything has been read
		if err != nil {
			t.Fatal(err)
		}
		addresses := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
		if diff := cmp.Diff(samples(), got, addresses, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the samples of schema %d (-want +got):\n%s", schema, diff)
		}
	}
}

// TestUnobservedOfOldSchemas reads a pair without a report, which records of old called censored.
func TestUnobservedOfOldSchemas(t *testing.T) {
	for reason, want := range map[string]measure.Status{
		measure.NotReported:             measure.Unobserved,
		"the run ended before a change": measure.Censored,
	} {
		for schema := 1; schema < 3; schema++ {
			line := fmt.Sprintf(`{"schema":%d,"kind":"new-connection","status":"censored",`+
				`"reason":%q}`, schema, reason)
			got, err := Read(strings.NewReader(line))
			if err != nil || got[0].Status != want {
				t.Errorf("%s: %v, %v; want %v", line, got, err, want)
			}
		}
	}
}

// TestKindOfSchema1 tells the kind of a pair from what records said before they had one.
func TestKindOfSchema1(t *testing.T) {
	for record, want := range map[string]measure.Kind{
		`"scenario":"established","status":"censored"`:        measure.KindOpen,
		`"scenario":"x","status":"measured","forbidden":true`: measure.KindBlocked,
		`"scenario":"policy-deny","status":"measured"`:        measure.KindNew,
	} {
		line := `{"schema":1,` + record + `}`
		got, err := Read(strings.NewReader(line))
		if err != nil || got[0].Kind != want {
			t.Errorf("%s is read as %v, %v; want %s", line, got, err, want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a line that is no record", "{}\nnot JSON", "read sample 1"},
		{"a later schema", `{"schema":99}`, "use a newer netpol-latency"},
		{"an unknown status", `{"schema":1,"status":"lost"}`, "expected one of"},
		{"an unknown kind", `{"schema":2,"status":"measured","kind":"odd"}`, `read kind "odd"`},
		{"a record that was cut", `{"schema":1,"sta`, "read sample 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Read() = %v; want an error with %q", err, test.want)
			}
		})
	}
}

// TestSamplesArePrintable reads a sample of a pod that would rather move the cursor.
func TestSamplesArePrintable(t *testing.T) {
	const line = `{"schema":3,"status":"measured","kind":"new-connection",` +
		`"scenario":"a\u001b[2J","pod":"b\u202e","reason":"two\nlines","warnings":["c\u0007"]}`
	got, err := Read(strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{got[0].Scenario, got[0].Target.Pod.Name, got[0].Reason, got[0].Warnings[0]}
	want := []string{`a\x1b[2J`, `b\u202e`, "two lines", `c\x07`}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("the sample's texts (-want +got):\n%s", diff)
	}
}

// TestLimits reads more than any run has.
func TestLimits(t *testing.T) {
	long := `{"schema":3,"scenario":"` + strings.Repeat("a", longestSample) + `"}`
	const want = "read sample 1: expected samples of at most 1 MiB each, one on a line"
	if _, err := Read(strings.NewReader(long)); err == nil || err.Error() != want {
		t.Errorf("a long sample ends with %v; want %s", err, want)
	}
	path := filepath.Join(t.TempDir(), "run.json")
	if err := os.WriteFile(path, make([]byte, largestFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Directory(filepath.Dir(path)).Read(); err == nil ||
		!strings.Contains(err.Error(), "expected at most 16 MiB: is it of a run?") {
		t.Errorf("a large run.json ends with %v", err)
	}
}
