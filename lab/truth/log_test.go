// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

var instant = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)

func recordAt(node string, seq uint64, ops ...Op) Record {
	before := instant.Add(time.Duration(seq) * time.Second)
	return Record{
		Seq: seq, Node: node, Before: before, After: before.Add(time.Millisecond), Ops: ops,
		Causes: []Cause{{Kind: "Pod", Event: "added", Namespace: "default", Name: "p", UID: "u",
			Arrived: before}},
	}
}

func writeAll(t *testing.T, path string, records ...Record) {
	t.Helper()
	w, err := OpenWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	refusal := Drop
	want := []Record{
		recordAt("n", 1, tableOp(), Op{Kind: KindRefusal, Refusal: &refusal}),
		recordAt("n", 2, addressOp(client, podAt("a", "n", "g", "", Membership{"web", 80})),
			addressOp(server, nil)),
		recordAt("n", 3),
	}
	writeAll(t, path, want[0])
	writeAll(t, path, want[1:]...)
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, states...); diff != "" {
		t.Errorf("read differs from written (-want +got):\n%s", diff)
	}
}

// A killed engine may leave a line without its end; its successor's records must not suffer.
func TestCutLine(t *testing.T) {
	whole, err := json.Marshal(recordAt("n", 1, tableOp()))
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(whole); cut += 7 {
		path := filepath.Join(t.TempDir(), "truth.jsonl")
		if err := os.WriteFile(path, append(append(whole, '\n'), whole[:cut]...),
			0o600); err != nil {
			t.Fatal(err)
		}
		expectRecords(t, path, 1)
		writeAll(t, path, recordAt("n", 2))
		expectRecords(t, path, 2)
	}
}

func expectRecords(t *testing.T, path string, want int) {
	t.Helper()
	records, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != want {
		t.Fatalf("%d records were read; %d are whole", len(records), want)
	}
}

func TestReadGarbage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	if err := os.WriteFile(path, []byte("{\"seq\":1}\n{\"seq\":true}\n{\"seq\":3}\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("the error does not name the line: %v", err)
	}
	if _, err := Read(path + ".missing"); err == nil {
		t.Error("a log that does not exist is read")
	}
}

// Engines of several nodes append to one file at the same time, through descriptors of their own.
func TestConcurrentWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	const writers, each = 4, 200
	var group errgroup.Group
	for range writers {
		group.Go(func() error {
			w, err := OpenWriter(path)
			if err != nil {
				return err
			}
			for i := range uint64(each) {
				if err := w.Write(recordAt(strings.Repeat("long", int(i)), i)); err != nil {
					return err
				}
			}
			return w.Close()
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	expectRecords(t, path, writers*each)
}

// Whoever has seen what a commit did finds the commit in the log, even when the record comes late.
func TestReadWaitsForCommitsUnderWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	w, err := OpenWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= 100; seq++ {
		if err := w.Begin(); err != nil {
			t.Fatal(err)
		}
		var seen []Record
		var group errgroup.Group
		group.Go(func() (err error) {
			seen, err = Read(path)
			return err
		})
		runtime.Gosched()
		if err := w.Write(recordAt("n", seq)); err != nil {
			t.Fatal(err)
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if uint64(len(seen)) != seq {
			t.Fatalf("a reader that came during commit %d saw %d records", seq, len(seen))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
