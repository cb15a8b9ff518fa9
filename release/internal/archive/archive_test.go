// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

// source is the project, as if it had just been released, or not.
func source(t *testing.T, version string) build.Source {
	t.Helper()
	root, err := filepath.Abs("../../..")
	check(t, err)
	return build.Source{Dir: root, Version: version, Time: time.Unix(1700000000, 0)}
}

// Archives for Linux and macOS have what they should, their checksums are right, and made twice
// they are the same.
func TestWrite(t *testing.T) {
	platforms := []build.Platform{{OS: "linux", Arch: runtime.GOARCH},
		{OS: "darwin", Arch: "arm64"}}
	from := source(t, "v1.2.3-0-gtest")
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "a", "two")
	names, err := Write(t.Context(), from, platforms, t.TempDir(), one)
	check(t, err)
	_, err = Write(t.Context(), from, platforms, t.TempDir(), two)
	check(t, err)
	want := []string{ChecksumsFile, NotesFile}
	for _, platform := range []string{"linux_" + runtime.GOARCH, "darwin_arm64"} {
		for _, kind := range []string{"netpol-latency", "kubectl-netpol_latency"} {
			name := kind + "_1.2.3-0-gtest_" + platform
			want = append(want, name+".tar.gz", name+".cdx.json")
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("the files differ (-want +got):\n%s", diff)
	}
	sums := exec.Command("sha256sum", "--check", "--strict", ChecksumsFile)
	sums.Dir = one
	if said, err := sums.CombinedOutput(); err != nil ||
		strings.Count(string(said), ": OK") != len(names)-1 {
		t.Errorf("sha256sum --check: %v:\n%s", err, said)
	}
	first, err := os.ReadFile(filepath.Join(one, ChecksumsFile))
	check(t, err)
	second, err := os.ReadFile(filepath.Join(two, ChecksumsFile))
	check(t, err)
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("made twice, the checksums differ (-one +two):\n%s", diff)
	}
	expectArchive(t, filepath.Join(one,
		"netpol-latency_1.2.3-0-gtest_linux_"+runtime.GOARCH+".tar.gz"), "LICENSE", "README.md",
		"THIRD-PARTY-NOTICES", "netpol-latency", "netpol-latency-wait",
		"pod-creation-reachability-latency", "policy-creation-enforcement-latency")
	expectArchive(t, filepath.Join(one, "netpol-latency_1.2.3-0-gtest_darwin_arm64.tar.gz"),
		"LICENSE", "README.md",
		"THIRD-PARTY-NOTICES", "netpol-latency")
	plugin := expectArchive(t, filepath.Join(one,
		"kubectl-netpol_latency_1.2.3-0-gtest_linux_"+runtime.GOARCH+".tar.gz"), "LICENSE",
		"README.md", "THIRD-PARTY-NOTICES", "kubectl-netpol_latency")
	if said, err := exec.Command(filepath.Join(plugin, "kubectl-netpol_latency"),
		"version").CombinedOutput(); err != nil {
		t.Errorf("the plugin's version: %v:\n%s", err, said)
	}
}

// The directory of a release is used again; any other with files is not, and stays as it is.
func TestReplace(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "release")
	check(t, replace(directory, map[string][]byte{ChecksumsFile: nil, "old": nil}))
	check(t, replace(directory, map[string][]byte{ChecksumsFile: nil, "new": nil}))
	if _, err := os.Stat(filepath.Join(directory, "old")); err == nil {
		t.Error("a file of an earlier release is left")
	}
	check(t, os.Remove(filepath.Join(directory, ChecksumsFile)))
	if err := replace(directory, map[string][]byte{ChecksumsFile: nil}); err == nil ||
		!strings.Contains(err.Error(), "expected an empty directory") {
		t.Errorf("files that are no release: %v", err)
	}
	if _, err := os.Stat(filepath.Join(directory, "new")); err != nil {
		t.Error("a file was lost")
	}
}

// expectArchive unpacks an archive as krew does, which takes regular files alone.
func expectArchive(t *testing.T, path string, want ...string) string {
	t.Helper()
	to := t.TempDir()
	packed, err := os.Open(path)
	check(t, err)
	defer packed.Close()
	unzipped, err := gzip.NewReader(packed)
	check(t, err)
	var names []string
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		if header.Typeflag != tar.TypeReg || header.Uid != 0 ||
			header.ModTime.Unix() != 1700000000 {
			t.Errorf("%s: %s is of type %c, of %d and of %s", filepath.Base(path), header.Name,
				header.Typeflag, header.Uid, header.ModTime)
		}
		content, err := io.ReadAll(reader)
		check(t, err)
		check(t, os.WriteFile(filepath.Join(to, header.Name), content, os.FileMode(header.Mode)))
		names = append(names, header.Name)
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("%s: the files differ (-want +got):\n%s", filepath.Base(path), diff)
	}
	return to
}

func TestNotes(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "CHANGELOG.md"),
		[]byte("# Changelog\n\n## Unreleased\n\n- Next.\n\n"+
			"## v1.2.0 (2026-03-01)\n\n- This.\n\n### Fixed\n\n- That.\n\n## v1.1.0\n\n- "+
			"Before.\n\n## v1.0.0\n"), 0o600))
	tests := []struct{ version, want string }{
		{"v1.2.0", "- This.\n\n### Fixed\n\n- That.\n"},
		{"v1.1.0", "- Before.\n"},
		{"v1.2.0-5-g0123456", "- Next.\n"},
		{"0123456-dirty", "- Next.\n"},
		{"v1.0.0", ""},
		{"v1.2", "- Next.\n"},
		{"v1.3.0-rc.1", ""},
	}
	for _, test := range tests {
		got, err := notes(build.Source{Dir: dir, Version: test.version})
		if string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("the notes of %s are %q, %v; want %q", test.version, got, err, test.want)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
