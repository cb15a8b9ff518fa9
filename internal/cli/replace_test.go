// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestReplace writes to all that a path may be: only a regular file is replaced by another, and
// everything else stays what it is.
func TestReplace(t *testing.T) {
	const content = "a report\n"
	expect := func(t *testing.T, path string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%s holds %q, %v; want %q", path, got, err, content)
		}
	}
	write := func(t *testing.T, path string) {
		t.Helper()
		if err := replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	old := func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("an old and longer report\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("nothing yet", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "report")
		write(t, path)
		expect(t, path)
	})
	t.Run("a file is replaced as a whole", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "report")
		old(t, path)
		if err := os.Link(path, path+".link"); err != nil {
			t.Fatal(err)
		}
		write(t, path)
		expect(t, path)
		if got, err := os.ReadFile(path + ".link"); err != nil || string(got) == content {
			t.Errorf("who has opened the old one reads %q, %v", got, err)
		}
	})
	t.Run("a link stays one", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "report")
		old(t, path)
		if err := os.Symlink(path, path+".link"); err != nil {
			t.Fatal(err)
		}
		write(t, path+".link")
		expect(t, path)
		if found, err := os.Lstat(path + ".link"); err != nil || found.Mode().IsRegular() {
			t.Errorf("the link is %v, %v", found, err)
		}
	})
	t.Run("a device", func(t *testing.T) {
		write(t, os.DevNull)
		found, err := os.Stat(os.DevNull)
		if err != nil || found.Mode()&os.ModeDevice == 0 {
			t.Fatalf("%s is %v, %v", os.DevNull, found, err)
		}
	})
	t.Run("a pipe", func(t *testing.T) {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		write(t, fmt.Sprintf("/dev/fd/%d", in.Fd()))
		_ = in.Close()
		if got, err := io.ReadAll(out); err != nil || string(got) != content {
			t.Errorf("the pipe has %q, %v; want %q", got, err, content)
		}
	})
	t.Run("what a shell appends to", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		fmt.Fprint(file, "before\n")
		write(t, fmt.Sprintf("/dev/fd/%d", file.Fd()))
		if got, err := os.ReadFile(path); err != nil || string(got) != "before\n"+content {
			t.Errorf("the file has %q, %v; want what was there, and %q", got, err, content)
		}
	})
}
