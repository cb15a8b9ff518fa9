// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoForkWhileWriting: a file of a container's root is open for writing only while no process
// can be forked, which would keep it open. A pipe stands for the file, because to open it takes as
// long as the test wants.
func TestNoForkWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- writeFile(path, "127.0.0.1 localhost\n") }()
	// If it never holds the lock, this ends with the time of the tests.
	for syscall.ForkLock.TryLock() {
		syscall.ForkLock.Unlock()
		runtime.Gosched()
	}
	content, err := os.ReadFile(path)
	if err := errors.Join(err, <-written); err != nil ||
		string(content) != "127.0.0.1 localhost\n" {
		t.Errorf("the file holds %q, error %v", content, err)
	}
	if !syscall.ForkLock.TryLock() {
		t.Fatal("no process can be forked after the writing")
	}
	syscall.ForkLock.Unlock()
}
