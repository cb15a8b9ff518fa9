// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWitnessed(t *testing.T) {
	from := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	to := from.Add(time.Second)
	for _, test := range []struct {
		name string
		at   time.Duration // of the announcement, after from
		want bool
	}{
		{"announced before the first instant", -time.Nanosecond, false},
		{"at the first instant", 0, true},
		{"between them", time.Second / 2, true},
		{"a moment after the second, as announcements are", time.Second + announcement, true},
		{"later than announcements are", time.Second + announcement + 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			far := Commit{At: from.Add(-time.Hour)}
			commits := []Commit{far, {At: from.Add(test.at)}}
			if got := Witnessed(commits, from, to); got != test.want {
				t.Errorf("Witnessed is %v", got)
			}
		})
	}
}

// A line that is still being written is none.
func TestReadCommits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "commits.jsonl")
	for content, want := range map[string]int{
		"": 0, `{"generation":1}`: 0, "{\"generation\":1}\n{\"gener": 1,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		commits, err := ReadCommits(path)
		if err != nil || len(commits) != want {
			t.Errorf("%q has %d commits (%v); want %d", content, len(commits), err, want)
		}
	}
	if err := os.WriteFile(path, []byte("no JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCommits(path); err == nil {
		t.Error("a line that is no record is read without an error")
	}
}
