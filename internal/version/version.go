// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package version says which build of a program this is.
package version

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
)

// The ways to print a build.
const (
	Text = "text"
	JSON = "json"
)

// unknown stands for what a program does not know about itself.
const unknown = "unknown"

// Build is what a program knows about how it was made.
type Build struct {
	// Program is its name.
	Program string `json:"program"`
	// Version is the release, for example v1.2.3; "(devel)" or a pseudo-version for a build that is
	// none.
	Version string `json:"version"`
	// Commit is the hash of the source's commit, and Date its time, RFC 3339. Both are empty if the
	// go command did not record them, as for a module that was installed by its version.
	Commit string `json:"commit,omitempty"`
	Date   string `json:"date,omitempty"`
	// Modified says that the source differed from the commit.
	Modified bool `json:"modified"`
	// Go is the version of the toolchain, Platform the operating system and architecture, for
	// example linux/amd64.
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Read is this process's build. A release is what the linker was told, if it was, and what the
// module system knows otherwise.
func Read(program, release string) Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return describe(program, release, info)
}

func describe(program, release string, info *debug.BuildInfo) Build {
	build := Build{
		Program: program, Version: cmp.Or(release, info.Main.Version, unknown),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}

	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			build.Commit = setting.Value
		case "vcs.time":
			build.Date = setting.Value
		case "vcs.modified":
			build.Modified = setting.Value == "true"
		}
	}

	return build
}

// Write prints the build as text or as JSON.
func (b Build) Write(w io.Writer, format string) error {
	var content []byte
	switch format {
	case Text:
		content = []byte(b.String())
	case JSON:
		encoded, err := json.MarshalIndent(b, "", "  ")
		if err != nil {
			return fmt.Errorf("encode the version: %w", err)
		}
		content = append(encoded, '\n')
	default:
		return fmt.Errorf("version format %q: expected %s or %s", format, Text, JSON)
	}

	if _, err := w.Write(content); err != nil {
		return fmt.Errorf("print the version: %w", err)
	}

	return nil
}

// String has the program and its version in the first line, and everything else in lines of its
// own.
func (b Build) String() string {
	commit := cmp.Or(b.Commit, unknown)
	if b.Modified {
		commit += " (modified)"
	}

	var text strings.Builder
	fmt.Fprintf(&text, "%s %s\n", b.Program, b.Version)
	for _, line := range [][2]string{
		{"commit", commit}, {"date", cmp.Or(b.Date, unknown)}, {"go", b.Go},
		{"platform", b.Platform},
	} {
		fmt.Fprintf(&text, "  %-10s%s\n", line[0], line[1])
	}

	return text.String()
}
