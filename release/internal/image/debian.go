// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

const (
	// debianSuite is the Debian release that the shell comes from, whatever the machine itself
	// runs.
	debianSuite = "trixie"
	debianURL   = "http://deb.debian.org/debian"
	// debianKeys verify what is downloaded.
	debianKeys = "/usr/share/keyrings/debian-archive-keyring.gpg"
	// shellPackage is one static binary with a shell in it.
	shellPackage = "busybox-static"
)

// Debian is a base with a shell, and hardly more: Debian's busybox-static. The downloaded packages
// are kept in a directory, and used again as long as they are there.
func Debian(source build.Source, cache string) Bases {
	return func(ctx context.Context, platform build.Platform) (Base, error) {
		file, err := findPackage(ctx, platform, filepath.Join(cache, debianSuite, platform.Arch))
		if err != nil {
			return Base{}, fmt.Errorf("make a base with a shell for %s (--base names one in a "+
				"registry instead): %w",
				platform, err)
		}
		entries, err := shellEntries(ctx, file)
		if err != nil {
			return Base{}, err
		}
		layer, err := layerOf(append(skeleton(), entries...), source.Time)
		if err != nil {
			return Base{}, err
		}
		component, err := packageComponent(file, platform)
		return Base{
			Layers: []v1.Layer{layer}, Components: []cdx.Component{component},
			Origin: "Debian's " + shellPackage + " " + component.Version,
		}, err
	}
}

// findPackage is the path of the package, downloaded if need be.
func findPackage(ctx context.Context, platform build.Platform, directory string) (string, error) {
	pattern := filepath.Join(directory, shellPackage+"_*_"+platform.Arch+".deb")
	if found, err := filepath.Glob(pattern); err != nil || len(found) > 0 {
		return slices.Max(append(found, "")), err
	}
	if err := download(ctx, platform.Arch, directory); err != nil {
		return "", err
	}
	found, err := filepath.Glob(pattern)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("apt-get downloaded no %s", filepath.Base(pattern))
	}
	return slices.Max(append(found, "")), err
}

// download gets the package with apt, which checks its signature. Apt works in a directory of its
// own: it neither reads nor changes which packages, architectures and sources the machine has.
func download(ctx context.Context, architecture, to string) (err error) {
	if _, err := os.Stat(debianKeys); err != nil {
		return fmt.Errorf("find Debian's keys: install the package debian-archive-keyring: %w", err)
	}

	work, err := os.MkdirTemp("", "netpol-latency-release-apt-")
	if err != nil {
		return fmt.Errorf("make room for apt: %w", err)
	}

	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	sources := fmt.Sprintf("deb [signed-by=%s arch=%s] %s %s main\n", debianKeys, architecture,
		debianURL, debianSuite)
	for _, directory := range []string{"state/lists/partial", "cache/archives/partial",
		"packages"} {
		if err := os.MkdirAll(filepath.Join(work, directory), 0o755); err != nil {
			return fmt.Errorf("make room for apt: %w", err)
		}
	}

	if err := os.WriteFile(filepath.Join(work, "sources.list"), []byte(sources),
		0o600); err != nil {
		return fmt.Errorf("tell apt its sources: %w", err)
	}

	for _, action := range [][]string{{"update"}, {"download", shellPackage}} {
		command := exec.CommandContext(ctx, "apt-get", append(aptOptions(work, architecture),
			action...)...)
		command.Dir = filepath.Join(work, "packages")
		if said, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("download %s with apt-get: %w: %s", shellPackage, err,
				strings.TrimSpace(string(said)))
		}
	}

	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("make room for packages: %w", err)
	}

	return keep(filepath.Join(work, "packages"), to)
}

// aptOptions make apt look at nothing but its directory, as if the machine were of the
// architecture.
func aptOptions(work, architecture string) []string {
	return []string{
		"-qq", "-o", "Dir::State=" + work + "/state", "-o", "Dir::State::status=/dev/null",
		"-o", "Dir::Cache=" + work + "/cache",
		"-o", "Dir::Etc::sourcelist=" + work + "/sources.list", "-o", "Dir::Etc::sourceparts=-",
		"-o", "APT::Architecture=" + architecture, "-o", "APT::Architectures=" + architecture,
		"-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3",
	}
}

// keep copies the downloaded files to a directory that has either all or none of them.
func keep(from, to string) error {
	part, err := os.MkdirTemp(filepath.Dir(to), ".part-")
	if err != nil {
		return fmt.Errorf("make room for packages: %w", err)
	}
	if err := os.CopyFS(part, os.DirFS(from)); err != nil {
		return errors.Join(fmt.Errorf("keep the packages: %w", err), os.RemoveAll(part))
	}
	if err := os.Rename(part, to); err != nil {
		return errors.Join(fmt.Errorf("keep the packages: %w", err), os.RemoveAll(part))
	}
	return nil
}

// shellEntries are the files of a base with the package's shell, and its license.
func shellEntries(ctx context.Context, file string) ([]entry, error) {
	wanted := map[string]string{
		"usr/bin/busybox": "bin/busybox", "bin/busybox": "bin/busybox",
		"usr/share/doc/busybox-static/copyright": "licenses/busybox/copyright",
	}

	found, err := unpack(ctx, file, wanted)
	if err != nil {
		return nil, err
	}

	program, license := found["bin/busybox"], found["licenses/busybox/copyright"]
	if program == nil || license == nil {
		return nil, fmt.Errorf("unpack %s: expected a busybox and its license in it",
			filepath.Base(file))
	}

	return []entry{
		{name: "bin/", mode: 0o755},
		{name: "bin/busybox", mode: 0o755, content: program},
		{name: "bin/sh", mode: 0o777, link: "busybox"},
		{name: "licenses/", mode: 0o755},
		{name: "licenses/busybox/", mode: 0o755},
		{name: "licenses/busybox/copyright", mode: 0o644, content: license},
	}, nil
}

// unpack reads those files of a package whose names are keys; what it returns has their values as
// keys.
func unpack(
	ctx context.Context, file string, wanted map[string]string,
) (_ map[string][]byte, err error) {
	command := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	var stderr strings.Builder
	command.Stderr = &stderr
	stream, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}

	defer func() {
		if ended := command.Wait(); err == nil && ended != nil {
			err = fmt.Errorf("unpack %s: %w: %s", file, ended, stderr.String())
		}
	}()

	found := make(map[string][]byte)
	for reader := tar.NewReader(stream); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, stream) // dpkg-deb pads its archive
			return found, err
		}
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", file, err)
		}
		if name, ok := wanted[path.Clean(header.Name)]; ok && header.Typeflag == tar.TypeReg {
			if found[name], err = io.ReadAll(reader); err != nil {
				return nil, fmt.Errorf("unpack %s: %w", file, err)
			}
		}
	}
}

// packageComponent describes the package by its file, whose name has its version.
func packageComponent(file string, platform build.Platform) (cdx.Component, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return cdx.Component{}, fmt.Errorf("read the package: %w", err)
	}

	sum := sha256.Sum256(content)
	_, rest, _ := strings.Cut(filepath.Base(file), "_")
	escaped, _, _ := strings.Cut(rest, "_")
	// Apt escapes the colon of an epoch in file names; so do package URLs.
	version := strings.ReplaceAll(cmp.Or(escaped, "unknown"), "%3a", ":")
	reference := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s",
		shellPackage, strings.ReplaceAll(version, ":", "%3A"), platform.Arch, debianSuite)
	return cdx.Component{
		BOMRef: reference, Type: cdx.ComponentTypeApplication, Name: shellPackage, Version: version,
		PackageURL: reference,
		Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "GPL-2.0-only"}}},
	}, nil
}
