// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line of netpol-latency-release.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

// The exit codes of netpol-latency-release.
const (
	ExitOK      = 0
	ExitFailure = 1
)

// Main is the whole program: it returns the exit code. A signal ends what it does, and it leaves
// nothing behind.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "netpol-latency-release: %v\n", err)
		return ExitFailure
	}
	return ExitOK
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "netpol-latency-release",
		Short: "Make the images and archives of a release",
		Long: "netpol-latency-release makes what a release of netpol-latency consists of. The " +
			"same source, version\n" +
			"and Go give the same bytes: files are as old as the last commit, or as " +
			"$SOURCE_DATE_EPOCH says.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newImages(), newArchives())
	return root
}

// sourceFlags say what is released.
type sourceFlags struct {
	dir       string
	version   string
	platforms []string
}

func (f *sourceFlags) add(cmd *cobra.Command, known []build.Platform) {
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "source", ".", "directory of the project")
	flags.StringVar(&f.version, "version", "",
		"version, for example v1.2.3 (default: what git describe says)")
	flags.StringSliceVar(&f.platforms, "platform", nil,
		fmt.Sprintf("platforms (default %v)", known))
}

// source is what the flags and the environment name.
func (f *sourceFlags) source(ctx context.Context) (build.Source, error) {
	return build.Describe(ctx, f.dir, f.version, os.Getenv(build.EpochVariable))
}

// inWork runs f with a directory for intermediate files, which is gone afterwards.
func inWork(f func(directory string) error) (err error) {
	work, err := os.MkdirTemp("", "netpol-latency-release-")
	if err != nil {
		return fmt.Errorf("make room for programs: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	return f(work)
}
