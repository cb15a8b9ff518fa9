// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// program is what an archive must hold, in its root or in a directory.
const program = "netpol-latency"

// platform is what a release has an archive for.
type platform struct{ OS, Arch string }

// platforms are those of every release.
func platforms() []platform {
	return []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"},
		{"darwin", "arm64"}}
}

// archive is a platform's archive in a release.
type archive struct {
	platform
	// File is its name, SHA256 its checksum in hexadecimal digits.
	File   string
	SHA256 string
	// Bin is the path of the program in it.
	Bin string
}

// readArchives finds the archives of all platforms by the release's checksums, and holds each that
// lies beside them against its checksum.
func readArchives(checksums, version string) ([]archive, error) {
	content, err := os.ReadFile(checksums)
	if err != nil {
		return nil, fmt.Errorf("read the checksums: %w", err)
	}

	var all []archive
	var mistakes []error
	for _, one := range platforms() {
		found, err := find(string(content), version, one)
		if err == nil {
			found.Bin, err = inspect(filepath.Join(filepath.Dir(checksums), found.File),
				found.SHA256)
		}
		all, mistakes = append(all, found), append(mistakes, err)
	}

	return all, errors.Join(mistakes...)
}

// find finds the one line about a platform's archive: a checksum and a name such as
// netpol-latency_1.2.3_linux_amd64.tar.gz.
func find(checksums, version string, p platform) (archive, error) {
	var found []archive
	for line := range strings.Lines(checksums) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		name := strings.TrimPrefix(fields[1], "*") // as sha256sum --binary writes it
		if isArchive(name, version, p) {
			found = append(found, archive{platform: p, File: name, SHA256: fields[0]})
		}
	}

	if len(found) != 1 {
		return archive{}, fmt.Errorf("the checksums name %d archives for %s/%s: expected one, "+
			"for example %s_%s_%s_%s.tar.gz",
			len(found), p.OS, p.Arch, program, strings.TrimPrefix(version, "v"), p.OS, p.Arch)
	}

	return found[0], nil
}

// isArchive reports whether a file's name is that of a platform's archive of the command line in a
// version.
func isArchive(name, version string, p platform) bool {
	rest, isProgram := strings.CutPrefix(name, program)
	rest, isArchive := strings.CutSuffix(rest, ".tar.gz")
	if !isProgram || !isArchive {
		return false
	}
	words := strings.FieldsFunc(rest, func(r rune) bool { return r == '_' })
	if len(words) == 1 {
		words = strings.Split(strings.Trim(rest, "-"), "-")
	}
	return len(words) >= 3 && strings.TrimPrefix(words[0], "v") == strings.TrimPrefix(version,
		"v") &&
		slices.Equal(words[len(words)-2:], []string{p.OS, p.Arch})
}

// inspect holds an archive against its checksum and finds the path of the program in it.
func inspect(file, checksum string) (bin string, err error) {
	opened, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("open an archive: %w", err)
	}

	defer opened.Close()
	sum := sha256.New()
	unzipped, err := gzip.NewReader(io.TeeReader(opened, sum))
	if err != nil {
		return "", fmt.Errorf("unpack %s: %w", file, err)
	}

	bin, err = locate(tar.NewReader(unzipped))
	if err != nil {
		return "", fmt.Errorf("unpack %s: %w", file, err)
	}

	if _, err := io.Copy(sum, opened); err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}

	if got := hex.EncodeToString(sum.Sum(nil)); got != checksum {
		return "", fmt.Errorf("the SHA-256 of %s is %s: expected %s, as the checksums say", file,
			got, checksum)
	}

	return bin, nil
}

// locate is the path of the program, which must be there for its user to run.
func locate(files *tar.Reader) (string, error) {
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("it holds no program %s", program)
		}
		if err != nil {
			return "", fmt.Errorf("read its list: %w", err)
		}
		if path.Base(header.Name) == program && header.Typeflag == tar.TypeReg {
			if header.Mode&0o111 == 0 {
				return "", fmt.Errorf("%s in it is not executable", header.Name)
			}
			return path.Clean(header.Name), nil
		}
	}
}
