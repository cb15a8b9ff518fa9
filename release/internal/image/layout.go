// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/netpol-latency/netpol-latency/release/internal/bom"
)

// WriteLayout writes the image to DIRECTORY/NAME as an OCI image layout, in place of one that is
// there, and its bills of materials beside it. It returns the path of the layout, which is complete
// or not there at all.
func (i Image) WriteLayout(directory string) (path string, err error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return "", fmt.Errorf("write the image %s: %w", i.Kind.Name, err)
	}

	part, err := os.MkdirTemp(directory, ".part-")
	if err != nil {
		return "", fmt.Errorf("write the image %s: %w", i.Kind.Name, err)
	}

	defer func() { err = errors.Join(err, os.RemoveAll(part)) }()
	fresh := filepath.Join(part, i.Kind.Name)
	if err := i.fill(fresh); err != nil {
		return "", fmt.Errorf("write the image %s: %w", i.Kind.Name, err)
	}

	path = filepath.Join(directory, i.Kind.Name)
	if err := errors.Join(os.RemoveAll(path), os.Rename(fresh, path)); err != nil {
		return "", fmt.Errorf("write the image %s: %w", i.Kind.Name, err)
	}

	for _, bill := range i.Bills {
		file := filepath.Join(directory, i.Kind.Name+"_"+bill.Platform.FileName()+bom.Suffix)
		if err := os.WriteFile(file, bill.Content, 0o644); err != nil {
			return "", fmt.Errorf("write the bill of materials: %w", err)
		}
	}

	return path, nil
}

// fill writes a new layout. Its index has a name for the image; what refers to it needs none.
func (i Image) fill(path string) error {
	made, err := layout.Write(path, empty.Index)
	if err != nil {
		return err
	}

	named := layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": i.Version,
	})
	if err := made.AppendIndex(i.Index, named); err != nil {
		return err
	}

	for _, bill := range i.Bills {
		if err := made.AppendImage(bill.Artifact); err != nil {
			return err
		}
	}

	return readable(path)
}

// readable lets everyone read the files, who may copy them, or run a lab: the library makes them
// its user's alone.
func readable(directory string) error {
	return filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return os.Chmod(path, 0o644)
	})
}
