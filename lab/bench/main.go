// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
)

// options are the flags of the command.
type options struct {
	rounds  int
	only    []string
	noJudge bool
}

// Main is the whole program: it returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "netpol-latency-bench: %v\n", err)
		return 1
	}
	return 0
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "netpol-latency-bench",
		Short: "Measure what a probe costs beside other ways to probe",
		Long: "Build a network of three namespaces and probe through it, in turns, with the " +
			"probing engine, with\n" +
			"what the original clients did, with other people's tools, and with ready-made " +
			"frames, the floor.\n" +
			"Print what a probe costs of a processor, and which goals hold. Exits with 1 if one " +
			"does not.\n" +
			"Needs root, curl, and for some yardsticks what \"make bench-packages\" installs.",
		Example: "  netpol-latency-bench --only syn,floor --no-judge",
		Args:    cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}

	cmd.Flags().IntVar(&o.rounds, "rounds", 3, "how often every yardstick has its turn")
	cmd.Flags().StringSliceVar(&o.only, "only", nil,
		"measure only these yardsticks, by the names in the table")
	cmd.Flags().BoolVar(&o.noJudge, "no-judge", false, "exit with 0 whether the goals hold or not")
	cmd.AddCommand(
		hidden(serveCommand, func(*cobra.Command) error { return serve() }),
		hidden(measureCommand, func(cmd *cobra.Command) error {
			return measureTurn(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		}))
	return cmd
}

// hidden is a command that this program runs itself with.
func hidden(name string, run func(*cobra.Command) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd) },
	}
}

func (o options) run(ctx context.Context, stdout, progress io.Writer) (err error) {
	if o.rounds < 1 {
		return fmt.Errorf("use --rounds %d: expected 1 or more", o.rounds)
	}

	chosen, err := choose(o.only)
	if err != nil {
		return err
	}

	b, err := newBench(progress)
	if err != nil {
		return err
	}

	defer func() { err = errors.Join(err, b.close()) }()
	results, err := b.run(ctx, o.rounds, chosen)
	if err != nil {
		return err
	}
	if err := results.report(stdout); err != nil && !o.noJudge {
		return err
	}

	return nil
}

// measureTurn is the process of a turn: it reads which one, makes it, and writes what it cost.
func measureTurn(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var turn Turn
	if err := json.NewDecoder(stdin).Decode(&turn); err != nil {
		return fmt.Errorf("read which turn to make: %w", err)
	}
	var answer reply
	var err error
	if answer.Reading, err = turn.make(ctx); err != nil {
		answer.Error = err.Error()
	}
	return json.NewEncoder(stdout).Encode(answer)
}
