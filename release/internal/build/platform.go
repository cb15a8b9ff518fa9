// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"slices"
	"strings"
)

// Platform is what a program is built for, in Go's words.
type Platform struct {
	OS, Arch string
}

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// FileName is the platform as a part of a file's name, for example linux_amd64.
func (p Platform) FileName() string { return p.OS + "_" + p.Arch }

// ImagePlatforms are those that images are made for.
func ImagePlatforms() []Platform { return []Platform{{"linux", "amd64"}, {"linux", "arm64"}} }

// ArchivePlatforms are those that archives are made for.
func ArchivePlatforms() []Platform {
	return append(ImagePlatforms(), Platform{"darwin", "amd64"}, Platform{"darwin", "arm64"})
}

// ParsePlatforms reads platforms, of which each must be among the known ones; none stands for all
// of these.
func ParsePlatforms(texts []string, known []Platform) ([]Platform, error) {
	if len(texts) == 0 {
		return known, nil
	}

	var platforms []Platform
	for _, text := range texts {
		system, architecture, _ := strings.Cut(text, "/")
		platform := Platform{system, architecture}
		if !slices.Contains(known, platform) {
			return nil, fmt.Errorf("platform %q: expected some of %v", text, known)
		}
		if !slices.Contains(platforms, platform) {
			platforms = append(platforms, platform)
		}
	}

	return platforms, nil
}
