// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	version      = "v1.2.3"
	manifestFile = "../../deploy/krew/netpol-latency.yaml"
)

// pack is an archive with one file.
func pack(t *testing.T, name string, mode int64) []byte {
	t.Helper()
	var content bytes.Buffer
	zipped := gzip.NewWriter(&content)
	files := tar.NewWriter(zipped)
	header := &tar.Header{Name: name, Mode: mode, Size: 4, Typeflag: tar.TypeReg}
	if err := files.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Write([]byte("test")); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return content.Bytes()
}

// release is a directory with the archives of all platforms, named by a pattern, and their
// checksums, edited.
func release(t *testing.T, pattern string, archive []byte, edit func(string) string) string {
	t.Helper()
	dir := t.TempDir()
	sums := fmt.Sprintf("%x  netpol-latency_1.2.3_sbom.json\n", sha256.Sum256(nil))
	for _, one := range platforms() {
		name := fmt.Sprintf(pattern, one.OS, one.Arch)
		if err := os.WriteFile(filepath.Join(dir, name), archive, 0o600); err != nil {
			t.Fatal(err)
		}
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(archive), name)
		sums += fmt.Sprintf("%x  %s.sbom.json\n", sha256.Sum256(nil), name)
	}
	file := filepath.Join(dir, "checksums.txt")
	if err := os.WriteFile(file, []byte(edit(sums)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func unchanged(s string) string { return s }

func krew(checksums, output string) error {
	return run([]string{
		"-template", manifestFile, "-checksums", checksums, "-version", version,
		"-downloads", "https://downloads.example/" + version, "-output", output,
	}, &bytes.Buffer{})
}

// The project's own manifest is filled in, whichever of the usual ways the archives are named and
// packed in.
func TestFill(t *testing.T) {
	tests := []struct{ name, pattern, inside string }{
		{"as goreleaser names them", "netpol-latency_1.2.3_%s_%s.tar.gz", "netpol-latency"},
		{"with dashes and the tag", "netpol-latency-v1.2.3-%s-%s.tar.gz",
			"netpol-latency-v1.2.3/netpol-latency"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			archive := pack(t, "./"+test.inside, 0o755)
			output := filepath.Join(t.TempDir(), "netpol-latency.yaml")
			if err := krew(release(t, test.pattern, archive, unchanged), output); err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(output)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range platforms() {
				want := fmt.Sprintf("        os: %s\n        arch: %s\n    uri: "+
					"https://downloads.example/v1.2.3/%s\n"+
					"    sha256: %x\n    bin: %s\n", one.OS, one.Arch,
					fmt.Sprintf(test.pattern, one.OS, one.Arch),
					sha256.Sum256(archive), test.inside)
				if !strings.Contains(string(content), want) {
					t.Errorf("the manifest lacks\n%s\n%s", want, content)
				}
			}
		})
	}
}

// A release that is not as it should be gives a sentence, and no manifest.
func TestFillRefuses(t *testing.T) {
	good := pack(t, "netpol-latency", 0o755)
	sum := fmt.Sprintf("%x", sha256.Sum256(good))
	replace := func(old, other string) func(string) string {
		return func(s string) string { return strings.ReplaceAll(s, old, other) }
	}
	const pattern = "netpol-latency_1.2.3_%s_%s.tar.gz"
	tests := []struct {
		name    string
		archive []byte
		edit    func(string) string
		want    string
	}{
		{"an archive is missing", good, replace("darwin_arm64", "plan9_arm64"),
			"name 0 archives for darwin/arm64: expected one, for example " +
				"netpol-latency_1.2.3_darwin_arm64.tar.gz"},
		{"another version", good, replace("1.2.3", "1.2.4"), "name 0 archives"},
		{"one twice", good, func(s string) string {
			return s + s
		}, "name 2 archives for linux/amd64"},
		{"a wrong checksum", good, replace(sum, strings.Repeat("0", 64)), "expected 0000"},
		{"no program in it", pack(t, "README.md", 0o755), unchanged,
			"holds no program netpol-latency"},
		{"a program that cannot be run", pack(t, "netpol-latency", 0o644), unchanged,
			"is not executable"},
		{"no archive", []byte("text"), unchanged, "unpack "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			output := filepath.Join(t.TempDir(), "netpol-latency.yaml")
			err := krew(release(t, pattern, test.archive, test.edit), output)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v; want %q", err, test.want)
			}
			if _, err := os.Stat(output); !os.IsNotExist(err) {
				t.Errorf("something was written: %v", err)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	output := filepath.Join(t.TempDir(), "netpol-latency.yaml")
	sums := release(t, "netpol-latency_1.2.3_%s_%s.tar.gz", pack(t, "netpol-latency", 0o755),
		unchanged)
	if err := krew(sums, output); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new, want string }{
		{"a version without v", "version: v1.2.3", "version: 1.2.3", `spec.version "1.2.3"`},
		{"another API", "v1alpha2", "v1", "apiVersion"},
		{"another name", "name: netpol-latency", "name: netpol_latency", "metadata.name"},
		{"an unknown field", "bin:", "binary:", `unknown field "binary"`},
		{"a long short description", "takes effect", "takes effect, with bounds for every figure",
			"spec.shortDescription"},
		{"not over TLS", "uri: https", "uri: http", "spec.platforms[0].uri"},
		{"a path that leads out", "bin: netpol-latency", "bin: ../netpol-latency",
			"spec.platforms[0].bin"},
		{"a platform twice", "os: darwin", "os: linux", "2 platforms are linux/amd64"},
		{"another selector", "arch: amd64", "cpu: amd64", "expected os and arch"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.ReplaceAll(string(content), test.old, test.new)
			if changed == string(content) {
				t.Fatalf("the manifest has no %q", test.old)
			}
			if err := validate([]byte(changed)); err == nil ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v; want %q", err, test.want)
			}
		})
	}
}

func TestRunNamesWhatIsMissing(t *testing.T) {
	err := run([]string{"-version", version}, &bytes.Buffer{})
	for _, flag := range []string{"-template", "-checksums", "-downloads", "-output"} {
		if err == nil || !strings.Contains(err.Error(), flag+" is missing: expected ") {
			t.Errorf("the message lacks %s: %v", flag, err)
		}
	}
}
