// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package labtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// BinaryVariable names the lab's program that tests use. Without it they build their own.
const BinaryVariable = "NETPOL_LATENCY_LAB_BIN"

// Binary is the path of the lab's program, with the project's own programs beside it.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(BinaryVariable); path != "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			t.Fatalf("%s: %v", BinaryVariable, err)
		}
		return absolute
	}

	path, err := build()
	if err != nil {
		t.Fatalf("build the lab (or name a built one in $%s): %v", BinaryVariable, err)
	}

	return path
}

// build builds all programs into a directory of the user's cache. The go command leaves a program
// alone that is up to date, and a lock keeps test processes from building it at the same time.
func build() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}

	dir := filepath.Join(cache, "netpol-latency-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the build directory: %w", err)
	}

	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the build lock: %w", err)
	}

	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock the build directory: %w", err)
	}

	file, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}

	module := filepath.Dir(strings.TrimSpace(string(file)))
	project := filepath.Dir(module)
	for _, source := range []string{module, project, filepath.Join(project, "release")} {
		cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/...")
		cmd.Dir = source
		if output, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, output)
		}
	}

	return filepath.Join(dir, "netpol-latency-lab"), nil
}
