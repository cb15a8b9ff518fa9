// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
)

// The exit codes of netpol-latency.
const (
	ExitOK      = 0
	ExitFailure = 1
)

// Main is the whole program: it returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "netpol-latency: %v\n", err)
		return ExitFailure
	}
	return ExitOK
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "netpol-latency",
		Short: "Measure how long a cluster takes to make a network policy true on the wire",
		Long: "netpol-latency measures how long after the Kubernetes API accepted a change the cluster's\n" +
			"network really allows, or really blocks, the traffic that the change is about.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newManifests(), newSummary(), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  netpol-latency version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			version := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				version = info.Main.Version
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "netpol-latency", version)
			return err
		},
	}
}
