// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
	"github.com/netpol-latency/netpol-latency/release/internal/image"
)

// imagesFlags are those of "images".
type imagesFlags struct {
	sourceFlags
	output string
	push   string
	base   string
	cache  string
}

func newImages() *cobra.Command {
	var flags imagesFlags
	cmd := &cobra.Command{
		Use:   "images [IMAGE…]",
		Short: "Make container images, as OCI layouts or in a registry",
		Long: "Make all images, or those that are named, without a container engine. Each gets a " +
			"bill of materials,\n" +
			"which registries list among its referrers. Credentials for a registry are those of " +
			"docker login.\n" +
			"It prints what it made, one line each: the name, and the digest.",
		Example: "  netpol-latency-release images --output bin/images\n" +
			"  netpol-latency-release images --push registry.example/team --version v1.2.3\n" +
			"  netpol-latency-release images --push registry.example/team --base " +
			"registry.example/busybox:1.37 \\\n" +
			"    pod-creation-reachability-latency",
		ValidArgs: image.KindNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), args, cmd.OutOrStdout())
		},
	}

	flags.add(cmd, build.ImagePlatforms())
	f := cmd.Flags()
	f.StringVar(&flags.output, "output", "", "directory: each image becomes an OCI layout in it")
	f.StringVar(&flags.push, "push", "", "registry and path: each image becomes PUSH/NAME:VERSION")
	f.StringVar(&flags.base, "base", "", "image that those with a shell stand on\n"+
		"(default: one made of Debian's busybox-static)")
	f.StringVar(&flags.cache, "cache", "", "directory for downloaded packages\n"+
		"(default: netpol-latency-release in the user's cache)")
	return cmd
}

func (f *imagesFlags) run(ctx context.Context, names []string, stdout io.Writer) error {
	if (f.output == "") == (f.push == "") {
		return errors.New("expected either --output, a directory, or --push, a registry and a path")
	}

	kinds, err := image.ParseKinds(names)
	if err != nil {
		return err
	}

	platforms, err := build.ParsePlatforms(f.platforms, build.ImagePlatforms())
	if err != nil {
		return err
	}

	source, err := f.source(ctx)
	if err != nil {
		return err
	}

	deliver, err := f.delivery(ctx, source, kinds)
	if err != nil {
		return err
	}

	shell, err := f.shell(source)
	if err != nil {
		return err
	}

	return inWork(func(work string) error {
		recipe := image.Recipe{Source: source, Platforms: platforms, Shell: shell, Work: work}
		for _, kind := range kinds {
			made, err := recipe.Make(ctx, kind)
			if err != nil {
				return err
			}
			where, err := deliver(made)
			if err != nil {
				return err
			}
			fmt.Fprintln(stdout, where)
		}
		return nil
	})
}

// delivery takes an image to where it goes, and returns its name there with its digest.
type delivery func(image.Image) (string, error)

func (f *imagesFlags) delivery(
	ctx context.Context, source build.Source, kinds []image.Kind,
) (delivery, error) {
	if f.output != "" {
		return func(made image.Image) (string, error) {
			path, err := made.WriteLayout(f.output)
			if err != nil {
				return "", err
			}
			digest, err := made.Index.Digest()
			return path + "@" + digest.String(), err
		}, nil
	}

	tags, err := image.Repositories(f.push, source.Version, kinds)
	if err != nil {
		return nil, err
	}

	return func(made image.Image) (string, error) {
		tag := tags[made.Kind.Name]
		digest, err := made.Push(ctx, tag, remote.WithAuthFromKeychain(authn.DefaultKeychain))
		return tag.String() + "@" + digest.DigestStr(), err
	}, nil
}

// shell finds bases for the images that need a shell.
func (f *imagesFlags) shell(source build.Source) (image.Bases, error) {
	if f.base != "" {
		return image.Registry(f.base, remote.WithAuthFromKeychain(authn.DefaultKeychain))
	}
	cache := f.cache
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find a directory for packages: name one with --cache: %w", err)
		}
		cache = filepath.Join(user, "netpol-latency-release")
	}
	return image.Debian(source, cache), nil
}
