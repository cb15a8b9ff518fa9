// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"fmt"
	"os"

	"github.com/netpol-latency/netpol-latency/lab/internal/oci"
)

// images are what stands for the images of containers, by their names.
type images struct {
	programs map[string]string
	unpacked map[string]oci.Unpacked
}

// unpackImages tells programs from images, and unpacks the images, once for all nodes.
func (l *inner) unpackImages() error {
	l.images = images{programs: make(map[string]string), unpacked: make(map[string]oci.Unpacked)}
	for name, source := range l.options.Images {
		reference, isLayout, err := oci.Parse(source)
		if err != nil {
			return err
		}
		if !isLayout {
			l.images.programs[name] = source
			continue
		}
		if l.images.unpacked[name], err = unpack(reference, l.options.Dir.Images()); err != nil {
			return fmt.Errorf("use image %q: %w", name, err)
		}
	}

	return nil
}

func unpack(reference oci.Reference, below string) (oci.Unpacked, error) {
	// Containers of all users look into it.
	if err := os.MkdirAll(below, 0o755); err != nil {
		return oci.Unpacked{}, fmt.Errorf("create the directory of images: %w", err)
	}
	image, err := oci.Open(reference)
	if err != nil {
		return oci.Unpacked{}, err
	}
	return image.Unpack(below)
}
