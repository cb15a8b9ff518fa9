// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/netpol-latency/netpol-latency/internal/report"
)

// replace puts a file in its place when all of it is written, so that nobody reads the half of it
// and what was there stays if it fails.
func replace(path string, content []byte) (err error) {
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
