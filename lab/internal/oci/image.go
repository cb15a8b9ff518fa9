// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nameAnnotation has an image's name in a layout (OCI image layout specification, "index.json
// file").
const nameAnnotation = "org.opencontainers.image.ref.name"

// Image is an image for this machine's architecture.
type Image struct {
	// Digest is that of its manifest.
	Digest string
	Config v1.Config

	image v1.Image
}

// Open finds the image. Nothing but its manifest and configuration is read.
func Open(reference Reference) (Image, error) {
	found, err := open(reference)
	if err != nil {
		return Image{}, fmt.Errorf("open %s: %w", reference, err)
	}
	digest, err := found.Digest()
	if err != nil {
		return Image{}, fmt.Errorf("open %s: %w", reference, err)
	}

	config, err := found.ConfigFile()
	if err != nil {
		return Image{}, fmt.Errorf("open %s: read its configuration: %w", reference, err)
	}
	if p := platform(); config.OS != p.OS || config.Architecture != p.Architecture {
		return Image{}, fmt.Errorf("open %s: it is for %s/%s: expected %s, which this machine is",
			reference, config.OS, config.Architecture, p)
	}

	return Image{Digest: digest.String(), Config: config.Config, image: found}, nil
}

// platform is what this machine runs.
func platform() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

func open(reference Reference) (v1.Image, error) {
	for _, file := range []string{"oci-layout", "index.json"} {
		if _, err := os.Stat(filepath.Join(reference.Dir, file)); err != nil {
			return nil, fmt.Errorf("it is no OCI image layout: expected a directory with the "+
				"files oci-layout and index.json: %w", err)
		}
	}

	index, err := layout.ImageIndexFromPath(reference.Dir)
	if err != nil {
		return nil, fmt.Errorf("read the layout: %w", err)
	}
	chosen, err := choose(index, reference.Tag)
	if err != nil {
		return nil, err
	}

	if !chosen.MediaType.IsIndex() {
		return index.Image(chosen.Digest)
	}
	platforms, err := index.ImageIndex(chosen.Digest)
	if err != nil {
		return nil, fmt.Errorf("read the image's platforms: %w", err)
	}

	return forThisMachine(platforms)
}

// choose finds the one entry of the layout with a tag, or the only one that is an image: what
// refers to images, such as a bill of materials, has no name and an artifact type. (Some tools give
// images one too: that of a configuration.)
func choose(index v1.ImageIndex, tag string) (v1.Descriptor, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("read the layout: %w", err)
	}
	var found []v1.Descriptor
	var names []string
	for _, one := range manifest.Manifests {
		name := one.Annotations[nameAnnotation]
		if kind := types.MediaType(one.ArtifactType); name == "" && kind != "" && !kind.IsConfig() {
			continue
		}
		names = append(names, fmt.Sprintf("%q", name))
		if tag == "" || name == tag {
			found = append(found, one)
		}
	}

	if len(found) != 1 {
		return v1.Descriptor{}, fmt.Errorf("%d images fit: expected one; the tags there are %s",
			len(found), strings.Join(names, ", "))
	}
	return found[0], nil
}

func forThisMachine(index v1.ImageIndex) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read the image's platforms: %w", err)
	}
	var others []string
	for _, one := range manifest.Manifests {
		if one.Platform == nil || one.Platform.Satisfies(platform()) {
			return index.Image(one.Digest)
		}
		others = append(others, one.Platform.String())
	}

	slices.Sort(others)
	return nil, fmt.Errorf("it is for %s: expected %s, which this machine is",
		strings.Join(others, ", "), platform())
}
