// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
)

// The exit codes of netpol-latency.
const (
	ExitOK        = 0
	ExitFailure   = 1 // wrong usage, or it could not do its work
	ExitCensored  = 2 // some pair did not change in time
	ExitInvalid   = 3 // some result says nothing: the state before the trigger was not proved
	ExitThreshold = 4 // a threshold was missed
)

// Main is the whole program: it returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintf(stderr, "netpol-latency: interrupted: %v\n", err)
	case err != nil:
		fmt.Fprintf(stderr, "netpol-latency: %v\n", err)
	}
	return exitCode(err)
}

// exitCode is how the program ends with an error, or without one.
func exitCode(err error) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errInvalid):
		return ExitInvalid
	case errors.Is(err, errCensored):
		return ExitCensored
	case errors.Is(err, errThreshold):
		return ExitThreshold
	}
	return ExitFailure
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
	root.AddCommand(newRun(), newScenarios(), newCleanup(), newManifests(), newSummary())
	root.AddCommand(newAgent(), newServe(), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  netpol-latency version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "netpol-latency", version())
			return err
		},
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
