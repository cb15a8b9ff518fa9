// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/netpol-latency/netpol-latency/release/internal/bom"
	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

const (
	// ChecksumsFile has the SHA-256 of every other file, as sha256sum writes and checks it.
	ChecksumsFile = "checksums.txt"
	// NotesFile says what has changed.
	NotesFile = "release-notes.md"
)

// Write makes the archives of all platforms and what belongs to them in a directory, and returns
// their names. Files of an earlier release there are removed. Nothing is written unless everything
// could be made.
func Write(
	ctx context.Context, source build.Source, platforms []build.Platform, work, directory string,
) ([]string, error) {
	changes, err := notes(source)
	if err != nil {
		return nil, err
	}

	made := map[string][]byte{NotesFile: changes}
	for _, platform := range platforms {
		all, err := contents(ctx, source, platform, work)
		if err != nil {
			return nil, fmt.Errorf("make the archives for %s: %w", platform, err)
		}
		for _, one := range all {
			if err := one.add(made, source); err != nil {
				return nil, fmt.Errorf("make the archives for %s: %w", platform, err)
			}
		}
	}

	made[ChecksumsFile] = checksums(made)
	return slices.Sorted(maps.Keys(made)), replace(directory, made)
}

// add makes the archive and its bill of materials.
func (c content) add(to map[string][]byte, source build.Source) error {
	name := c.fileName(source)
	packed, err := pack(c.files, source.Time)
	if err != nil {
		return err
	}
	to[name+".tar.gz"] = packed
	to[name+bom.Suffix], err = bom.Write(source, bom.Subject{
		Name: c.name, Kind: cdx.ComponentTypeApplication, Programs: c.programs,
	})
	return err
}

func checksums(made map[string][]byte) []byte {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(made)) {
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(made[name]), name)
	}
	return []byte(text.String())
}

// replace makes the directory hold just these files. It refuses to remove what is no release.
func replace(directory string, files map[string][]byte) error {
	old, err := os.ReadDir(directory)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write the release: %w", err)
	}

	if _, err := os.Stat(filepath.Join(directory, ChecksumsFile)); err != nil && len(old) > 0 {
		return fmt.Errorf("write the release: %s holds files and no %s: expected an empty "+
			"directory, or that of an earlier release", directory, ChecksumsFile)
	}

	parent := filepath.Dir(filepath.Clean(directory))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("write the release: %w", err)
	}

	fresh, err := os.MkdirTemp(parent, ".part-")
	if err != nil {
		return fmt.Errorf("write the release: %w", err)
	}

	mistakes := []error{os.Chmod(fresh, 0o755)}
	for name, content := range files {
		mistakes = append(mistakes, os.WriteFile(filepath.Join(fresh, name), content, 0o644))
	}

	if err := errors.Join(mistakes...); err != nil {
		return errors.Join(fmt.Errorf("write the release: %w", err), os.RemoveAll(fresh))
	}
	if err := errors.Join(os.RemoveAll(directory), os.Rename(fresh, directory)); err != nil {
		return errors.Join(fmt.Errorf("write the release: %w", err), os.RemoveAll(fresh))
	}

	return nil
}
