// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	crilogs "k8s.io/cri-client/pkg/logs"
)

// A log is rotated when it is longer than asked, no line is lost, and old files go.
func TestRotateLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	w, err := newLogWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	w.closeContainerEnds()
	defer w.finish()

	w.write("stdout", []byte("old\n"), true)
	if err := w.rotate(1000); err != nil {
		t.Fatal(err)
	}
	if text := contents(t, path); !strings.Contains(text, "old") {
		t.Errorf("a short log was rotated: it is %q", text)
	}
	for range 2 * keptLogs {
		if err := w.rotate(0); err != nil {
			t.Fatal(err)
		}
		w.write("stdout", []byte("new\n"), true)
	}

	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != keptLogs {
		t.Fatalf("the log's files are %q (%v); want %d", files, err, keptLogs)
	}
	for _, file := range files {
		if text := contents(t, file); strings.Count(text, "new") != 1 {
			t.Errorf("%s is %q; want one line", file, text)
		}
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Who follows a log as with an old kubelet reads what was written before its rotation, and nothing
// more until the container has ended.
func TestFollowRotatedLog(t *testing.T) {
	w, err := newLogWriter(filepath.Join(t.TempDir(), "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	w.closeContainerEnds()
	defer w.finish()
	stream := filepath.Join(t.TempDir(), "stream")
	if err := w.follow(stream); err != nil {
		t.Fatal(err)
	}
	defer w.unfollow(stream)

	reader, writer := io.Pipe()
	live := make(chan struct{})
	go func() {
		defer writer.Close()
		_ = crilogs.ReadLogs(t.Context(), stream, "c", &crilogs.LogOptions{Follow: true},
			follower{live: live}, writer, writer)
	}()
	lines := bufio.NewScanner(reader)
	w.write("stdout", []byte("before\n"), true)
	if !lines.Scan() || lines.Text() != "before" {
		t.Fatalf("the first line is %q", lines.Text())
	}

	if err := w.rotate(0); err != nil {
		t.Fatal(err)
	}
	w.write("stdout", []byte("after\n"), true)
	close(live)
	if lines.Scan() {
		t.Errorf("there is a line after the rotation: %q", lines.Text())
	}
}
