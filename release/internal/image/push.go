// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Repositories checks where images are pushed to, before they are made: PREFIX/NAME:VERSION.
func Repositories(prefix, version string, kinds []Kind) (map[string]name.Tag, error) {
	tags := make(map[string]name.Tag)
	for _, kind := range kinds {
		tag, err := name.NewTag(strings.TrimSuffix(prefix, "/")+"/"+kind.Name+":"+version,
			name.StrictValidation)
		if err != nil {
			return nil, fmt.Errorf("push to %q: expected a registry and a repository, for example "+
				"registry.example/team: %w", prefix, err)
		}
		tags[kind.Name] = tag
	}
	return tags, nil
}

// Push pushes the image and what refers to it, and returns its name by digest. The tag comes last,
// so that it is never that of half an image.
func (i Image) Push(
	ctx context.Context, tag name.Tag, options ...remote.Option,
) (name.Digest, error) {
	options = append(options, remote.WithContext(ctx))
	digest, err := i.Index.Digest()
	if err != nil {
		return name.Digest{}, fmt.Errorf("push %s: %w", tag, err)
	}

	whole := tag.Digest(digest.String())
	if err := remote.WriteIndex(whole, i.Index, options...); err != nil {
		return name.Digest{}, fmt.Errorf("push %s: %w", tag, err)
	}

	for _, bill := range i.Bills {
		if err := pushByDigest(tag.Repository, bill.Artifact, options); err != nil {
			return name.Digest{}, fmt.Errorf("push the bill of materials of %s for %s: %w", tag,
				bill.Platform, err)
		}
	}

	if err := remote.Tag(tag, i.Index, options...); err != nil {
		return name.Digest{}, fmt.Errorf("tag %s: %w", tag, err)
	}

	return whole, nil
}

func pushByDigest(to name.Repository, img v1.Image, options []remote.Option) error {
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	return remote.Write(to.Digest(digest.String()), img, options...)
}
