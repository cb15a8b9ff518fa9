// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

func newCleanup() *cobra.Command {
	var access accessFlags
	var runID string
	var all bool
	var named []string
	cmd := &cobra.Command{
		Use:   "cleanup --run-id ID",
		Short: "Remove what a run has left",
		Long: "Remove the namespaces of a run that was killed or kept, and wait until they are " +
			"gone. Nothing that a\n" +
			"run has not created itself is touched: of what bears the labels or the name of " +
			"something of\nthe run and is not, it says why it was left alone.",
		Example: "  netpol-latency cleanup --run-id 1f2e3d4c\n  netpol-latency cleanup --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (runID == "") != all {
				return errors.New("expected either --run-id ID or --all")
			}
			cluster, err := access.cluster()
			if err != nil {
				return err
			}
			cluster.OnOutage(func(text string) {
				fmt.Fprintln(cmd.ErrOrStderr(), visible.Line(text))
			})
			return cleanUp(cmd, cluster, runID, named)
		},
	}

	cmd.Flags().StringVar(&runID, "run-id", "", "the run, as it was printed at its beginning")
	cmd.Flags().BoolVar(&all, "all", false, "every run: also those that are under way")
	cmd.Flags().StringSliceVar(&named, "named", nil,
		"also a namespace of the run that was given its name by\n--from-namespace or "+
			"--to-namespace (repeatable)")
	access.add(cmd)
	offerFunc(cmd, "named", namespaces(&access.Access))
	offerFunc(cmd, "run-id", runIDs(&access.Access))
	return cmd
}

// cleanUp removes what runs have left, and says what it has left alone.
func cleanUp(
	cmd *cobra.Command, cluster *kube.Cluster, runID string, named []string,
) error {
	namespaces, err := runner.Leftovers(cmd.Context(), cluster, runID)
	if err != nil {
		return err
	}

	progress := newProgress(cmd.ErrOrStderr())
	removed, left, err := runner.Cleanup(cmd.Context(), cluster, namespaces, named, progress.show)
	progress.end()
	for _, text := range left {
		fmt.Fprintln(cmd.ErrOrStderr(), visible.Line(text))
	}
	if err != nil {
		return err
	}

	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d namespaces removed\n", removed)
	return err
}
