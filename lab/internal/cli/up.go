// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

func newUp() *cobra.Command {
	var flags labFlags
	cmd := &cobra.Command{
		Use:   "up --dir DIR",
		Short: "Run a lab in the foreground until a signal",
		Long: "Run a lab in the foreground. When it is ready, the path of its kubeconfig is " +
			"printed on standard\n" +
			"output; everything else goes to standard error. SIGINT or SIGTERM ends it in order, " +
			"a second\n" +
			"signal at once. DIR holds the kubeconfig, the logs and the truth log, and keeps the " +
			"last two.",
		Example: "  netpol-latency-lab up --dir ./lab-state --delay 300ms\n" +
			"  KUBECONFIG=./lab-state/kubeconfig kubectl get nodes",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.dir == "" {
				return errors.New("--dir is missing: expected a directory for the kubeconfig, " +
					"logs and truth log")
			}
			return up(cmd, &flags)
		},
	}

	cmd.Flags().StringVar(&flags.dir, "dir", "", "state directory (mandatory)")
	flags.add(cmd)
	return cmd
}

func up(cmd *cobra.Command, flags *labFlags) error {
	options, err := flags.options()
	if err != nil {
		return err
	}
	lab, err := supervisor.Start(cmd.Context(), options, cmd.ErrOrStderr())
	if err != nil {
		return err
	}

	fmt.Fprintln(cmd.OutOrStdout(), lab.Kubeconfig)
	select {
	case <-cmd.Context().Done():
		fmt.Fprintln(cmd.ErrOrStderr(), "lab: stopping")
	case <-lab.Exited():
	}

	return lab.Stop()
}
