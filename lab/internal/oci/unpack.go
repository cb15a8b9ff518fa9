// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/go-archive"
	"github.com/moby/sys/userns"
)

// Unpacked is an image whose files are there.
type Unpacked struct {
	// Digest is that of its manifest.
	Digest string `json:"digest"`
	// Root is the directory with its files, which must not change: containers share it.
	Root string `json:"root"`
	// What follows is how its containers are started, unless their pod says otherwise.
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	Env        []string `json:"env,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
	// User is a name or a number, with ":" and that of a group or without.
	User string `json:"user,omitempty"`
}

// Unpack unpacks the image below a directory, once, however many names it has. All of its content
// is held against its digest.
func (i Image) Unpack(below string) (Unpacked, error) {
	unpacked := Unpacked{
		Digest: i.Digest, Root: filepath.Join(below, strings.ReplaceAll(i.Digest, ":", "-")),
		Entrypoint: i.Config.Entrypoint, Cmd: i.Config.Cmd, Env: i.Config.Env,
		WorkingDir: i.Config.WorkingDir, User: i.Config.User,
	}

	if _, err := os.Stat(unpacked.Root); err == nil {
		return unpacked, nil
	}
	part := unpacked.Root + ".part"
	if err := i.apply(part); err != nil {
		return Unpacked{}, errors.Join(fmt.Errorf("unpack the image %s: %w", i.Digest, err),
			os.RemoveAll(part))
	}

	return unpacked, os.Rename(part, unpacked.Root)
}

// apply puts the layers on top of each other.
func (i Image) apply(root string) error {
	config, err := i.verifiedConfig()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}

	layers, err := i.image.Layers()
	if err != nil {
		return err
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		return fmt.Errorf("it has %d layers and its configuration names %d", len(layers),
			len(config.RootFS.DiffIDs))
	}

	for n, layer := range layers {
		if err := applyLayer(root, layer, config.RootFS.DiffIDs[n]); err != nil {
			return fmt.Errorf("layer %d: %w", n+1, err)
		}
	}

	return nil
}

// verifiedConfig is the configuration, after it and the manifest were held against their digests.
// It has those of the layers.
func (i Image) verifiedConfig() (*v1.ConfigFile, error) {
	manifest, err := i.image.RawManifest()
	if err != nil {
		return nil, err
	}
	config, err := i.image.RawConfigFile()
	if err != nil {
		return nil, err
	}

	parsed, err := i.image.Manifest()
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		what    string
		content []byte
		digest  string
	}{{"manifest", manifest, i.Digest}, {"configuration", config, parsed.Config.Digest.String()}} {
		if err := expectDigest(sha256.Sum256(part.content), part.digest); err != nil {
			return nil, fmt.Errorf("its %s: %w", part.what, err)
		}
	}

	return i.image.ConfigFile()
}

func expectDigest(sum [sha256.Size]byte, want string) error {
	if got := fmt.Sprintf("sha256:%x", sum); got != want {
		return fmt.Errorf("the digest is %s: expected %s; copy the layout anew", got, want)
	}
	return nil
}

// applyLayer puts a layer's files over those of the layers below, and removes what it hides of
// them.
func applyLayer(root string, layer v1.Layer, digest v1.Hash) error {
	content, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer content.Close()

	sum := sha256.New()
	whole := io.TeeReader(content, sum)

	// A user namespace may have only one user, to whom everything belongs then.
	options := &archive.TarOptions{NoLchown: userns.RunningInUserNS()}
	if _, err := archive.UnpackLayer(root, whole, options); err != nil {
		return err
	}

	// what stands behind the end of the archive
	if _, err := io.Copy(io.Discard, whole); err != nil {
		return err
	}
	return expectDigest([sha256.Size]byte(sum.Sum(nil)), digest.String())
}
