// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package image makes the project's container images, without a container engine and so that the
// same source gives the same digests.
//
//	catalog.go   which images there are
//	base.go      what they stand on: nothing, or a shell (debian.go, registry.go)
//	layer.go     files become a layer
//	image.go     a base and a program become an image, for one platform
//	index.go     images of all platforms, with their bills of materials, become what has a name
//	artifact.go  a bill of materials that refers to its image
//	layout.go    written to a directory
//	push.go      or pushed to a registry
package image

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is an image that the project has.
type Kind struct {
	// Name is that of the image and of its program, which is its entrypoint and lies in its root
	// directory.
	Name string
	// Description is a sentence for its users.
	Description string
	// Shell says that the image needs one: ClusterLoader2 starts its clients with sh -c './NAME …'.
	Shell bool
}

// Kinds are all images.
func Kinds() []Kind {
	return []Kind{
		{
			Name: "netpol-latency",
			Description: "Agent and target of netpol-latency, which measures how long network " +
				"policies take to be true on the wire",
		},
		{
			Name:        "netpol-latency-wait",
			Description: "Init container that waits until network policy is in force",
		},
		{
			Name:        "pod-creation-reachability-latency",
			Description: "Test client that measures how long new pods take to be reachable",
			Shell:       true,
		},
		{
			Name: "policy-creation-enforcement-latency",
			Description: "Test client that measures how long a new network policy takes to allow " +
				"traffic",
			Shell: true,
		},
	}
}

// ParseKinds finds images by their names; no name stands for all.
func ParseKinds(names []string) ([]Kind, error) {
	if len(names) == 0 {
		return Kinds(), nil
	}

	var found []Kind
	for _, name := range names {
		i := slices.IndexFunc(Kinds(), func(k Kind) bool { return k.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("image %q: expected some of %s", name,
				strings.Join(KindNames(), ", "))
		}
		found = append(found, Kinds()[i])
	}

	return found, nil
}

// KindNames are the names of all images.
func KindNames() []string {
	var names []string
	for _, kind := range Kinds() {
		names = append(names, kind.Name)
	}
	return names
}
