// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/netpol-latency/netpol-latency/release/internal/bom"
	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

// Image is an image that was made, for all of its platforms.
type Image struct {
	Kind    Kind
	Version string
	Index   v1.ImageIndex
	// Bills has a bill of materials for each platform.
	Bills []Bill
}

// Bill is the bill of materials of an image for one platform.
type Bill struct {
	Platform build.Platform
	Content  []byte
	// Artifact refers to the image.
	Artifact v1.Image
}

// Recipe is how images are made.
type Recipe struct {
	Source    build.Source
	Platforms []build.Platform
	// Shell finds bases for images that need a shell.
	Shell Bases
	// Work is a directory for programs.
	Work string
}

// Make makes an image.
func (r Recipe) Make(ctx context.Context, kind Kind) (Image, error) {
	made := Image{Kind: kind, Version: r.Source.Version}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var last Base
	for _, platform := range r.Platforms {
		img, base, bill, err := r.makeFor(ctx, kind, platform)
		if err != nil {
			return Image{}, fmt.Errorf("make the image %s: %w", kind.Name, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: plain{img}, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: platform.OS,
				Architecture: platform.Arch}},
		})
		made.Bills = append(made.Bills, bill)
		last = base
	}

	made.Index = mutate.Annotations(index, kind.annotations(r.Source, last)).(v1.ImageIndex)
	return made, nil
}

// makeFor makes an image for one platform.
func (r Recipe) makeFor(
	ctx context.Context, kind Kind, platform build.Platform,
) (v1.Image, Base, Bill, error) {
	bases := Empty(r.Source)
	if kind.Shell {
		bases = r.Shell
	}

	base, err := bases(ctx, platform)
	if err != nil {
		return nil, base, Bill{}, err
	}

	program, err := r.Source.Build(ctx, kind.Name, platform, r.Work)
	if err != nil {
		return nil, base, Bill{}, err
	}

	notices, err := r.Source.Notices(ctx, program)
	if err != nil {
		return nil, base, Bill{}, err
	}

	img, err := kind.assemble(r.Source, program, notices, base)
	if err != nil {
		return nil, base, Bill{}, err
	}

	bill := Bill{Platform: platform}
	bill.Content, err = bom.Write(r.Source, bom.Subject{
		Name: kind.Name, Kind: cdx.ComponentTypeContainer, Programs: []build.Program{program},
		Others: base.Components,
	})

	if err != nil {
		return nil, base, Bill{}, err
	}

	bill.Artifact, err = attach(img, bill.Content, r.Source)
	return img, base, bill, err
}

// plain is an image that an index lists without an artifact type: it is none.
type plain struct{ v1.Image }

// ArtifactType is what go-containerregistry asks for when it describes an image.
func (plain) ArtifactType() (string, error) { return "", nil }
