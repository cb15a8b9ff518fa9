// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

// defaultPath is the search path of an image whose base sets none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// assemble puts the program on the base: in the root directory, where ClusterLoader2 expects it,
// started there as a user that is not root.
func (k Kind) assemble(
	source build.Source, program build.Program, notices []byte, base Base,
) (v1.Image, error) {
	layer, err := k.layer(source, program, notices)
	if err != nil {
		return nil, err
	}

	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON)
	var additions []mutate.Addendum
	at := v1.Time{Time: source.Time}
	for _, below := range base.Layers {
		kind, err := ociLayer(below)
		if err != nil {
			return nil, err
		}
		additions = append(additions, mutate.Addendum{
			Layer: below, MediaType: kind, History: v1.History{Created: at, CreatedBy: base.Origin},
		})
	}

	additions = append(additions, mutate.Addendum{
		Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: at,
			CreatedBy: k.Name + " " + source.Version},
	})

	if img, err = mutate.Append(img, additions...); err != nil {
		return nil, fmt.Errorf("put %s on its base: %w", k.Name, err)
	}

	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("configure %s: %w", k.Name, err)
	}

	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = program.Platform.OS, program.Platform.Arch, at
	config.Config = v1.Config{
		User: user + ":" + user, WorkingDir: "/", Entrypoint: []string{"/" + k.Name},
		Env:    environment(base),
		Labels: k.annotations(source, base),
	}

	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, fmt.Errorf("configure %s: %w", k.Name, err)
	}

	return mutate.Annotations(img, k.annotations(source, base)).(v1.Image), nil
}

// layer holds the program and all licenses.
func (k Kind) layer(source build.Source, program build.Program, notices []byte) (v1.Layer, error) {
	binary, err := os.ReadFile(program.Path)
	if err != nil {
		return nil, fmt.Errorf("read the program of %s: %w", k.Name, err)
	}

	license, err := os.ReadFile(filepath.Join(source.Dir, "LICENSE"))
	if err != nil {
		return nil, fmt.Errorf("read the license: %w", err)
	}

	return layerOf([]entry{
		{name: "licenses/", mode: 0o755},
		{name: "licenses/LICENSE", mode: 0o644, content: license},
		{name: "licenses/THIRD-PARTY-NOTICES", mode: 0o644, content: notices},
		{name: k.Name, mode: 0o755, content: binary},
	}, source.Time)
}

// environment is what the base sets, and a search path in any case.
func environment(base Base) []string {
	env := slices.Clone(base.Env)
	if !slices.ContainsFunc(env, func(one string) bool { return strings.HasPrefix(one, "PATH=") }) {
		env = append(env, defaultPath)
	}
	return env
}

// annotations are those that the OCI image specification defines beforehand. They are the labels
// too.
func (k Kind) annotations(source build.Source, base Base) map[string]string {
	all := map[string]string{
		"org.opencontainers.image.title":       k.Name,
		"org.opencontainers.image.description": k.Description,
		"org.opencontainers.image.version":     source.Version,
		"org.opencontainers.image.revision":    source.Revision,
		"org.opencontainers.image.created":     source.Time.Format(time.RFC3339),
		"org.opencontainers.image.source":      "https://" + build.Module,
		"org.opencontainers.image.documentation": "https://" + build.Module +
			"/blob/main/docs/images.md",
		"org.opencontainers.image.vendor":      "The netpol-latency Authors",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.base.name":   base.Name,
		"org.opencontainers.image.base.digest": base.Digest,
	}

	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// ociLayer is the OCI's name for the layer's format: bases may have Docker's for the same bytes.
func ociLayer(layer v1.Layer) (types.MediaType, error) {
	kind, err := layer.MediaType()
	if err != nil {
		return "", fmt.Errorf("read a layer of the base: %w", err)
	}
	switch kind {
	case types.DockerLayer:
		return types.OCILayer, nil
	case types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer, nil
	}
	return kind, nil
}
