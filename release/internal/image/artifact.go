// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/netpol-latency/netpol-latency/release/internal/bom"
	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

const (
	// emptyKind and emptyContent are the configuration of an artifact that needs none (OCI image
	// specification, "Guidance for an Empty Descriptor").
	emptyKind    = types.MediaType("application/vnd.oci.empty.v1+json")
	emptyContent = "{}"
)

// artifact is a manifest with one file that refers to an image: registries list it among the
// image's referrers.
type artifact struct {
	manifest []byte
	layer    v1.Layer
}

// attach makes an artifact of an image's bill of materials.
func attach(subject v1.Image, content []byte, source build.Source) (v1.Image, error) {
	descriptor, err := partial.Descriptor(subject)
	if err != nil {
		return nil, fmt.Errorf("attach the bill of materials: %w", err)
	}

	layer := static.NewLayer(content, bom.MediaType)
	file, err := partial.Descriptor(layer)
	if err != nil {
		return nil, fmt.Errorf("attach the bill of materials: %w", err)
	}

	nothing, err := partial.Descriptor(static.NewLayer([]byte(emptyContent), emptyKind))
	if err != nil {
		return nil, fmt.Errorf("attach the bill of materials: %w", err)
	}

	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: bom.MediaType,
		Config: *nothing, Layers: []v1.Descriptor{*file},
		Subject: &v1.Descriptor{MediaType: descriptor.MediaType, Size: descriptor.Size,
			Digest: descriptor.Digest},
		Annotations: map[string]string{
			"org.opencontainers.image.created": source.Time.Format(time.RFC3339),
		},
	})

	if err != nil {
		return nil, fmt.Errorf("attach the bill of materials: %w", err)
	}

	return partial.CompressedToImage(artifact{manifest: manifest, layer: layer})
}

// RawManifest implements partial.CompressedImageCore.
func (a artifact) RawManifest() ([]byte, error) { return a.manifest, nil }

// RawConfigFile implements partial.CompressedImageCore.
func (artifact) RawConfigFile() ([]byte, error) { return []byte(emptyContent), nil }

// MediaType implements partial.CompressedImageCore.
func (artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// LayerByDigest implements partial.CompressedImageCore; there is only one.
func (a artifact) LayerByDigest(v1.Hash) (partial.CompressedLayer, error) { return a.layer, nil }
