// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

func newScenarios() *cobra.Command {
	return &cobra.Command{
		Use:     "scenarios",
		Short:   "Explain what can be measured",
		Example: "  netpol-latency scenarios",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, one := range scenario.All() {
				detail := strings.ReplaceAll(one.Detail, "\n", "\n    ")
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n  %s\n    %s\n", one.Name,
					one.Summary, detail); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
