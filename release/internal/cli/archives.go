// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/release/internal/archive"
	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

func newArchives() *cobra.Command {
	var flags sourceFlags
	var directory string
	cmd := &cobra.Command{
		Use:   "archives",
		Short: "Make the archives that a release is downloaded as",
		Long: "Make archives with the programs for each platform, a bill of materials for each, " +
			"checksums of all,\n" +
			"and notes: the version's section of CHANGELOG.md, or that of what is unreleased if " +
			"the version is\n" +
			"no release. It prints the paths of the files.",
		Example: "  netpol-latency-release archives --output bin/release --version v1.2.3\n" +
			"  (cd bin/release && sha256sum --check checksums.txt)",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if directory == "" {
				return errors.New("--output is missing: expected a directory for the archives")
			}
			platforms, err := build.ParsePlatforms(flags.platforms, build.ArchivePlatforms())
			if err != nil {
				return err
			}
			source, err := flags.source(cmd.Context())
			if err != nil {
				return err
			}
			return inWork(func(work string) error {
				names, err := archive.Write(cmd.Context(), source, platforms, work, directory)
				if err != nil {
					return err
				}
				for _, name := range names {
					fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(directory, name))
				}
				return nil
			})
		},
	}

	flags.add(cmd, build.ArchivePlatforms())
	cmd.Flags().StringVar(&directory, "output", "", "directory for the archives (mandatory)")
	return cmd
}
