// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"slices"
	"time"
)

// file is a regular file of an archive.
type file struct {
	name    string
	mode    int64
	content []byte
}

// pack makes a tar.gz of the files, in the order of their names, as old as the time and owned by
// nobody in particular.
func pack(files []file, at time.Time) ([]byte, error) {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	writer := tar.NewWriter(zipped)
	sorted := slices.SortedFunc(slices.Values(files), func(a, b file) int {
		return cmp.Compare(a.name, b.name)
	})

	for _, f := range sorted {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)),
			ModTime: at, Format: tar.FormatUSTAR,
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := writer.Write(f.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}

	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("pack an archive: %w", err)
	}
	if err := zipped.Close(); err != nil {
		return nil, fmt.Errorf("pack an archive: %w", err)
	}

	return packed.Bytes(), nil
}
