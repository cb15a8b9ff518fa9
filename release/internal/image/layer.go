// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// entry is a file, a directory (its name ends with a slash) or a symbolic link of a layer.
// Everything belongs to root.
type entry struct {
	name    string
	mode    int64
	content []byte
	link    string
}

// layerOf makes a layer of the entries, in their order, all as old as the time.
func layerOf(entries []entry, at time.Time) (v1.Layer, error) {
	var content bytes.Buffer
	writer := tar.NewWriter(&content)
	for _, e := range entries {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: e.name, Mode: e.mode, Size: int64(len(e.content)),
			ModTime: at, Format: tar.FormatPAX,
		}
		switch {
		case e.link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, e.link
		case e.name[len(e.name)-1] == '/':
			header.Typeflag = tar.TypeDir
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("write %s to a layer: %w", e.name, err)
		}
		if _, err := writer.Write(e.content); err != nil {
			return nil, fmt.Errorf("write %s to a layer: %w", e.name, err)
		}
	}

	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("write a layer: %w", err)
	}

	open := func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}

	layer, err := tarball.LayerFromOpener(open, tarball.WithCompressedCaching,
		tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.DefaultCompression))
	if err != nil {
		return nil, fmt.Errorf("compress a layer: %w", err)
	}

	return layer, nil
}
