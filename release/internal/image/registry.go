// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

// Registry is a base that is an image in a registry. Only a reference by digest gives the same
// image for ever; what a tag meant is recorded.
func Registry(reference string, options ...remote.Option) (Bases, error) {
	parsed, err := name.ParseReference(reference)
	if err != nil {
		return nil, fmt.Errorf("base %q: expected the reference of an image: %w", reference, err)
	}
	return func(ctx context.Context, platform build.Platform) (Base, error) {
		base, err := pullBase(ctx, parsed, platform, options)
		if err != nil {
			return Base{}, fmt.Errorf("pull the base %s for %s: %w", parsed, platform, err)
		}
		return base, nil
	}, nil
}

func pullBase(
	ctx context.Context, reference name.Reference, platform build.Platform, options []remote.Option,
) (Base, error) {
	wanted := v1.Platform{OS: platform.OS, Architecture: platform.Arch}
	found, err := remote.Get(reference, append(options, remote.WithContext(ctx),
		remote.WithPlatform(wanted))...)
	if err != nil {
		return Base{}, err
	}

	base, err := found.Image()
	if err != nil {
		return Base{}, err
	}

	config, err := base.ConfigFile()
	if err != nil {
		return Base{}, err
	}

	if config.OS != platform.OS || config.Architecture != platform.Arch {
		return Base{}, fmt.Errorf("it is for %s/%s alone: choose one that has both platforms",
			config.OS, config.Architecture)
	}

	layers, err := base.Layers()
	if err != nil {
		return Base{}, err
	}

	digest := found.Digest.String()
	return Base{
		Layers: layers, Env: config.Config.Env, Origin: reference.Name() + "@" + digest,
		Name: reference.Name(), Digest: digest,
		Components: []cdx.Component{{
			BOMRef: "base", Type: cdx.ComponentTypeContainer, Name: reference.Name(),
			Version: digest,
		}},
	}, nil
}
