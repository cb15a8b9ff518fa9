// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

const (
	commandLine = "netpol-latency"
	// plugin is the name by which kubectl finds the command line as "kubectl netpol-latency".
	plugin = "kubectl-netpol_latency"
)

// probing are the programs that do nothing but probe, which only Linux can.
func probing() []string {
	return []string{"netpol-latency-wait", "pod-creation-reachability-latency",
		"policy-creation-enforcement-latency"}
}

// content is what is in an archive.
type content struct {
	// name is that of the archive, without version and platform.
	name     string
	programs []build.Program
	files    []file
}

// contents are the archives of a platform: everything, and the plugin for kubectl alone. The plugin
// has an archive of its own because krew, which installs plugins, unpacks no links, and a copy
// would double the other one.
func contents(
	ctx context.Context, source build.Source, platform build.Platform, work string,
) ([]content, error) {
	names := []string{commandLine}
	if platform.OS == "linux" {
		names = append(names, probing()...)
	}

	whole := content{name: commandLine}
	var notices bytes.Buffer
	for _, name := range names {
		program, err := source.Build(ctx, name, platform, work)
		if err != nil {
			return nil, err
		}
		whole.programs = append(whole.programs, program)
		text, err := source.Notices(ctx, program)
		if err != nil {
			return nil, err
		}
		if notices.Len() == 0 { // the others contain nothing else than the command line
			notices.Write(text)
		}
		binary, err := os.ReadFile(program.Path)
		if err != nil {
			return nil, fmt.Errorf("read a program: %w", err)
		}
		whole.files = append(whole.files, file{name: name, mode: 0o755, content: binary})
	}

	alone := content{
		name: plugin, programs: whole.programs[:1],
		files: []file{{name: plugin, mode: 0o755, content: whole.files[0].content}},
	}

	documents, err := documents(source, notices.Bytes())
	if err != nil {
		return nil, err
	}

	whole.files, alone.files = append(whole.files, documents...), append(alone.files, documents...)
	return []content{whole, alone}, nil
}

// documents are in every archive.
func documents(source build.Source, notices []byte) ([]file, error) {
	all := []file{{name: "THIRD-PARTY-NOTICES", mode: 0o644, content: notices}}
	for _, name := range []string{"LICENSE", "README.md"} {
		text, err := os.ReadFile(filepath.Join(source.Dir, name))
		if err != nil {
			return nil, fmt.Errorf("read a document of the archives: %w", err)
		}
		all = append(all, file{name: name, mode: 0o644, content: text})
	}
	return all, nil
}

// fileName is the archive's, without the suffix, for example netpol-latency_1.2.3_linux_amd64.
func (c content) fileName(source build.Source) string {
	return strings.Join([]string{c.name, strings.TrimPrefix(source.Version, "v"),
		c.programs[0].Platform.FileName()}, "_")
}
