// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/version"
)

func newVersion(build version.Build) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: "Print the version, the commit that it was built from and its date, the version of " +
			"Go, and the\n" +
			"platform. It needs no cluster.",
		Example: "  netpol-latency version\n  netpol-latency version -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != version.Text && format != version.JSON {
				return fmt.Errorf("--output %q: expected %s or %s", format, version.Text,
					version.JSON)
			}
			return build.Write(cmd.OutOrStdout(), format)
		},
	}

	cmd.Flags().StringVarP(&format, "output", "o", version.Text, "text or json")
	offer(cmd, "output", version.Text, version.JSON)
	return cmd
}
