// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package need is for tests that need what a machine may lack: a program, a right, a feature of the
// kernel. Such a test is skipped, and says why. Where everything must run, as in CI, it fails
// instead, unless what is lacking is a feature of the kernel, which nobody can install there.
package need

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// RequireAll is the variable of the environment that makes a test fail that would be skipped for
// want of a program or a right. "make test" sets it.
const RequireAll = "NETPOL_LATENCY_REQUIRE_ALL"

// Program is the path of a program, without which the test is skipped. How says how it is
// installed.
func Program(t testing.TB, name, how string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	Machine(t, err, how)
	return path
}

// File is for a file that a package brings, without which the test is skipped. How says how it is
// installed.
func File(t testing.TB, path, how string) {
	t.Helper()
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("find %s: %w", path, exec.ErrNotFound)
	}
	Machine(t, err, how)
}

// Machine goes on if err is nil. It skips the test if err says that this machine has no such
// program, right or feature, and fails it for any other error. How says what to do about it.
func Machine(t testing.TB, err error, how string) {
	t.Helper()
	right := errors.Is(err, fs.ErrPermission)
	program := errors.Is(err, exec.ErrNotFound)
	feature := errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPROTONOSUPPORT)
	switch {
	case err == nil:
	case !right && !program && !feature:
		t.Fatal(err)
	case !feature && os.Getenv(RequireAll) != "":
		t.Fatalf("%v; it must be here (%s): %s", err, RequireAll, how)
	default:
		t.Skipf("%v: %s", err, how)
	}
}
