// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Program is a program that was built.
type Program struct {
	// Name is that of the directory below cmd/.
	Name     string
	Platform Platform
	// Path is where it is.
	Path string
	// Info is what the linker wrote into it: the modules that it consists of.
	Info *buildinfo.BuildInfo
}

// Build builds a program into a directory, as a static binary that knows its commit, if the source
// has one, and not where it was built. The main package's variable version becomes the source's.
func (s Source) Build(
	ctx context.Context, name string, platform Platform, directory string,
) (Program, error) {
	path := filepath.Join(directory, platform.FileName(), name)
	command := exec.CommandContext(ctx, "go", "build", "-trimpath",
		fmt.Sprintf("-buildvcs=%t", s.Revision != ""),
		"-ldflags", "-s -w -X main.version="+s.Version, "-o", path, "./cmd/"+name)
	command.Dir = s.Dir
	command.Env = append(os.Environ(), environment(platform)...)
	if _, err := output(command); err != nil {
		return Program{}, fmt.Errorf("build %s for %s: %w", name, platform, err)
	}

	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return Program{}, fmt.Errorf("read what %s consists of: %w", name, err)
	}

	return Program{Name: name, Platform: platform, Path: path, Info: info}, nil
}

// environment is everything of the environment that would change the program, set.
func environment(platform Platform) []string {
	return []string{
		"CGO_ENABLED=0", "GOOS=" + platform.OS, "GOARCH=" + platform.Arch, "GOAMD64=v1",
		"GOARM64=v8.0",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off",
	}
}
