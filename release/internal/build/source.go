// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package build builds the project's programs so that the same source gives the same bytes,
// wherever and whenever it is built with the same Go.
//
//	source.go    what is built: a checkout, its version, its time
//	platform.go  what for
//	program.go   the build
//	notices.go   the licenses of what is linked in
package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Module is the module that holds the programs.
const Module = "github.com/netpol-latency/netpol-latency"

// EpochVariable is where the time of a source may be given, in seconds since 1970; see
// https://reproducible-builds.org/specs/source-date-epoch/.
const EpochVariable = "SOURCE_DATE_EPOCH"

// Source is what a release is made of. The same Source gives the same files.
type Source struct {
	// Dir is the directory of the root module, an absolute path. It leaves no trace in what is
	// made.
	Dir string
	// Version names the release, for example v1.2.3. It is a valid tag of an image.
	Version string
	// Revision is the commit; empty if it is not known.
	Revision string
	// Time is that of the commit. All files are as old as that.
	Time time.Time
}

// Describe finds out about the checkout in a directory. The version is that of Git unless it is
// given; the time is the epoch if it is given, in seconds since 1970, and that of the last commit
// otherwise.
func Describe(ctx context.Context, dir, version, epoch string) (Source, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return Source{}, fmt.Errorf("find the source: %w", err)
	}
	if err := expectModule(absolute); err != nil {
		return Source{}, err
	}

	s := Source{Dir: absolute, Revision: revision(ctx, absolute)}
	if s.Version, err = describeVersion(ctx, absolute, version); err != nil {
		return Source{}, err
	}

	if s.Time, err = describeTime(ctx, absolute, epoch); err != nil {
		return Source{}, err
	}

	return s, nil
}

// expectModule refuses a directory that is not the root of the project.
func expectModule(dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the source: %w", err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	if strings.TrimSpace(first) != "module "+Module {
		return fmt.Errorf("source %s: expected the directory with the go.mod of %s; name it with "+
			"--source", dir, Module)
	}
	return nil
}

// revision is the commit, with "-dirty" when the files differ from it; empty without Git.
func revision(ctx context.Context, dir string) string {
	commit, err := git(ctx, dir, "rev-parse", "HEAD")
	if err != nil {
		return ""
	}
	if changes, err := git(ctx, dir, "status", "--porcelain"); err != nil || changes != "" {
		commit += "-dirty"
	}
	return commit
}

func describeVersion(ctx context.Context, dir, version string) (string, error) {
	if version == "" {
		var err error
		version, err = git(ctx, dir, "describe", "--tags", "--always", "--dirty")
		if err != nil {
			return "", fmt.Errorf("find the version: name it with --version, or build from a Git "+
				"checkout: %w", err)
		}
	}

	// What an image's tag may be (OCI distribution specification, "Pulling manifests").
	if !regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`).MatchString(version) {
		return "", fmt.Errorf("version %q: expected what can be an image's tag, for example "+
			"v1.2.3: letters, digits, '_', '.' and '-'", version)
	}

	return version, nil
}

func describeTime(ctx context.Context, dir, epoch string) (time.Time, error) {
	text := epoch
	if epoch == "" {
		var err error
		if text, err = git(ctx, dir, "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, fmt.Errorf("find the time of the source: set %s, or build from a "+
				"Git checkout: %w",
				EpochVariable, err)
		}
	}

	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("%s=%q: expected seconds since 1970", EpochVariable, text)
	}

	return time.Unix(seconds, 0).UTC(), nil
}

// git is what a Git command prints.
func git(ctx context.Context, dir string, arguments ...string) (string, error) {
	return output(exec.CommandContext(ctx, "git", append([]string{"-C", dir}, arguments...)...))
}

// output is what a command prints, without the space around it; its error says what the command
// said.
func output(command *exec.Cmd) (string, error) {
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		said := cmp.Or(strings.TrimSpace(stderr.String()), "it said nothing")
		return "", fmt.Errorf("run %s: %w: %s", strings.Join(command.Args, " "), err, said)
	}
	return strings.TrimSpace(string(out)), nil
}
