// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

// Base is what an image stands on, for one platform.
type Base struct {
	// Layers hold its files.
	Layers []v1.Layer
	// Env is what its own configuration sets.
	Env []string
	// Origin says in a few words where it comes from.
	Origin string
	// Name and Digest are those of an image in a registry, the same for all of its platforms, and
	// empty otherwise.
	Name, Digest string
	// Components are what a bill of materials lists.
	Components []cdx.Component
}

// Bases finds the base for a platform.
type Bases func(context.Context, build.Platform) (Base, error)

// user is who the images' processes are, as a number, so that Kubernetes can see that it is not
// root.
const user = "65532"

// skeleton is what a root file system without a distribution needs.
func skeleton() []entry {
	return []entry{
		{name: "etc/", mode: 0o755},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:" + user + ":\n")},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/sbin/nologin\n" +
			"nonroot:x:" + user + ":" + user + ":nonroot:/:/sbin/nologin\n")},
		{name: "tmp/", mode: 0o1777},
	}
}

// Empty is a base without programs.
func Empty(source build.Source) Bases {
	return func(context.Context, build.Platform) (Base, error) {
		layer, err := layerOf(skeleton(), source.Time)
		return Base{Layers: []v1.Layer{layer}, Origin: "etc and tmp"}, err
	}
}
