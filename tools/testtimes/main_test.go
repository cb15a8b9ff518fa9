// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRun makes tables of two steps: one that only built, and one whose two packages ran at the
// same time for a while.
func TestRun(t *testing.T) {
	directory := t.TempDir()
	for name, content := range map[string]string{
		"build.step": "1000.0 1060.5\n",
		"unit.step":  "1060.5 1100.5\n",
		"unit.json": `{"Time":"1970-01-01T00:17:50Z","Action":"start","Package":"github.com/netpol-latency/netpol-latency/a"}
{"Time":"1970-01-01T00:17:55Z","Action":"start","Package":"github.com/netpol-latency/netpol-latency/b"}
# a line that is no event
{"Time":"1970-01-01T00:18:05Z","Action":"pass","Package":"github.com/netpol-latency/netpol-latency/a","Test":"TestLong/part","Elapsed":11}
{"Time":"1970-01-01T00:18:05Z","Action":"pass","Package":"github.com/netpol-latency/netpol-latency/a","Test":"TestLong","Elapsed":15}
{"Time":"1970-01-01T00:18:05Z","Action":"pass","Package":"github.com/netpol-latency/netpol-latency/a","Elapsed":15}
{"Time":"1970-01-01T00:18:06Z","Action":"skip","Package":"github.com/netpol-latency/netpol-latency/b","Test":"TestShort","Elapsed":1}
{"Time":"1970-01-01T00:18:10Z","Action":"fail","Package":"github.com/netpol-latency/netpol-latency/b","Elapsed":15}
`,
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	var printed strings.Builder
	if err := run(&printed, directory, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(printed.String()) {
		if fields := strings.Join(strings.Fields(line), " "); fields != "" {
			got = append(got, fields)
		}
	}
	want := []string{
		"step wall tests compilers and the rest",
		"build 60.5s 0.0s 60.5s",
		"unit 40.0s 20.0s 20.0s",
		"all, some side by side 100.5s",
		"package wall tests skipped",
		"a 15.0s 2 0",
		"b 15.0s 1 1",
		"test of 10s or more wall",
		"a.TestLong 15.0s",
		"a.TestLong/part 11.0s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the tables (-want +got):\n%s", diff)
	}
}

// TestRunMistakes says what a directory lacks.
func TestRunMistakes(t *testing.T) {
	empty, broken := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "unit.step"), []byte("yesterday\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	for directory, want := range map[string]string{empty: "no step has left its times",
		broken: "expected the instants"} {
		if err := run(&strings.Builder{}, directory, 0); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want %q in it", err, want)
		}
	}
}
