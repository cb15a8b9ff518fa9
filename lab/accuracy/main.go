// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package accuracy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// options are the flags of the command.
type options struct {
	modes    []string
	pairs    []int
	rules    measure.Rules
	relative float64
	rate     float64
	loss     float64
	repeat   int
	paced    bool
}

// Main is the whole program: it returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()

	var o options
	cmd := &cobra.Command{
		Use:   "netpol-latency-accuracy",
		Short: "Hold the probing engine against ground truth",
		Long: "Build a network of three namespaces, change its filter at known instants while " +
			"the engine watches,\n" +
			"and compare. Exits with 1 if a bracket misses its commit, or a pair its transition. " +
			"Needs root.",
		Example: "  netpol-latency-accuracy --pairs 20,1000 --mode connect,syn",
		Args:    cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}

	f := cmd.Flags()
	f.StringSliceVar(&o.modes, "mode", []string{"connect", "http", "udp", "syn", "established"},
		"probe modes")
	f.IntSliceVar(&o.pairs, "pairs", []int{1, 20, 200, 1000, 10_000}, "numbers of pairs")
	f.IntVar(&o.rules.Confirm, "confirm", 3, "probes in a row that must agree on a new state")
	f.IntVar(&o.rules.Losses, "tolerate-losses", 0, "probes in a row that may be lost")
	f.DurationVar(&o.rules.Hold, "hold", 0, "how long a transition is watched")
	f.Float64Var(&o.relative, "relative-resolution", 0,
		"interval as a part of the time since the trigger (default 0.01)")
	f.Float64Var(&o.rate, "max-probe-rate", 0, "most probes a second (default that of the mode)")
	f.Float64Var(&o.loss, "loss", 0, "part of all packets that the network loses, for example 0.01")
	f.IntVar(&o.repeat, "repeat", 1, "repetitions of the whole matrix")
	f.BoolVar(&o.paced, "paced", false, "have the engine find the rate that the network bears, "+
		"as agents do")
	cmd.AddCommand(hidden("serve", func(out io.Writer) error {
		go endWithParent()
		return flat.Serve(func() { _ = json.NewEncoder(out).Encode(true) })
	}), hidden("probe", func(out io.Writer) error { return Probe(os.Stdin, out) }))
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "netpol-latency-accuracy: %v\n", err)
		return 1
	}

	return 0
}

// hidden is a command that this program runs itself with.
func hidden(name string, run func(io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.OutOrStdout()) },
	}
}

// endWithParent ends the process when its standard input does.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin) // nothing is ever written
	os.Exit(0)
}

func (o options) run(ctx context.Context, stdout, progress io.Writer) (err error) {
	var modes []probe.Mode
	for _, name := range o.modes {
		mode, err := probe.ParseMode(name)
		if err != nil {
			return err
		}
		modes = append(modes, mode)
	}

	harness, err := NewHarness()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, harness.Close()) }()

	harness.Rules, harness.Relative, harness.MaxRate = o.rules, o.relative, o.rate
	harness.Paced = o.paced
	if o.loss > 0 {
		if err := harness.DropAtRandom(o.loss); err != nil {
			return err
		}
	}

	var results []Result
	matrix := Matrix(modes, o.pairs)
	for range o.repeat {
		for i, cell := range matrix {
			began := time.Now()
			result, err := harness.Run(ctx, cell)
			if err != nil {
				return fmt.Errorf("run %s: %w", cell, err)
			}
			results = append(results, result)
			row := Row{}
			row.Add(result)
			fmt.Fprintf(progress, "%4d/%d  %s  %5d of %d hold, %s, sent %d, skipped %d, latest "+
				"%s, %d MiB\n", i+1, len(matrix), cell,
				row.Holding, cell.Pairs, time.Since(began).Round(time.Millisecond),
				result.Stats.Sent, result.Stats.Skipped, result.Stats.MaxLateness,
				result.Memory>>20)
			for _, surprise := range result.surprises() {
				fmt.Fprintln(progress, "          "+surprise)
			}
		}
	}

	return Report(stdout, Rows(results))
}
