// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/report"
)

// replace puts a file in its place when all of it is written, so that nobody reads the half of it
// and what was there stays if it fails. What is no file, such as a device, a pipe or a link, stays
// what it is, and is written to.
func replace(path string, content []byte) (err error) {
	if found, err := os.Lstat(path); err == nil && !found.Mode().IsRegular() {
		return overwrite(path, content)
	}

	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: is its directory there? %w", path, err)
	}

	defer func() {
		if err != nil {
			_ = os.Remove(draft.Name())
		}
	}()

	_, err = draft.Write(content)
	if err == nil {
		err = draft.Chmod(0o644)
	}

	if closed := draft.Close(); err == nil {
		err = closed
	}

	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}

	return nil
}

// overwrite writes to what there is. A file that is reached as one of the process's own, such as
// /dev/stdout, is written on: what a shell appends to keeps what it holds.
func overwrite(path string, content []byte) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if strings.HasPrefix(filepath.Clean(path), "/dev/") {
		flags = os.O_WRONLY | os.O_APPEND
	}

	file, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return fmt.Errorf("write to %s: %w", path, err)
	}

	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write to %s: %w", path, err)
	}
	return nil
}

// replaceAll writes files into a directory, which it makes if need be.
func replaceAll(directory string, files []report.File) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("create the report directory: expected a directory with -o: %w", err)
	}
	for _, file := range files {
		if err := replace(filepath.Join(directory, file.Name), file.Content); err != nil {
			return err
		}
	}
	return nil
}
