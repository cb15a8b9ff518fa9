// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// Main is the whole program: it returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()
	var rounds int
	var judge bool
	cmd := &cobra.Command{
		Use:   "netpol-latency-bench",
		Short: "Measure what a probe costs",
		Long: "Measure the processor time of a probe of every mode, of what the original clients do, of Go's own\n" +
			"ways to connect and of programs that are made for many probes, in turns in one run: absolute times\n" +
			"depend on the machine and the moment, their ratios hardly. Needs root. Exits with 1 if a goal is missed.",
		Example: "  netpol-latency-bench --rounds 2",
		Args:    cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			costs, memory, err := Run(cmd.Context(), rounds, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			missed := Report(cmd.OutOrStdout(), costs, Goals(costs, memory))
			if missed > 0 && judge {
				return fmt.Errorf("reach every goal: %d are missed", missed)
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&rounds, "rounds", 2, "how many turns each way to probe has")
	cmd.Flags().BoolVar(&judge, "judge", true, "fail if a goal is missed")
	cmd.AddCommand(newServe(), newTurn(), newPairs())
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "netpol-latency-bench: %v\n", err)
		return 1
	}
	return 0
}

// newServe is the server in the targets' namespace.
func newServe() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin) // nothing is ever written: it ends with the parent
				os.Exit(0)
			}()
			return flat.Serve(func() { _ = json.NewEncoder(cmd.OutOrStdout()).Encode(true) })
		},
	}
}

// newTurn is one turn of a subject that this program plays itself.
func newTurn() *cobra.Command {
	return &cobra.Command{
		Use: "turn NAME DROPPED PROBES RATE ROUTER", Hidden: true, Args: cobra.ExactArgs(5),
		RunE: func(cmd *cobra.Command, args []string) error {
			dropped, err := strconv.ParseBool(args[1])
			if err != nil {
				return err
			}
			probes, err := strconv.Atoi(args[2])
			if err != nil {
				return err
			}
			rate, err := strconv.ParseFloat(args[3], 64)
			if err != nil {
				return err
			}
			work, err := turn(args[0], dropped, probes, rate, args[4])
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(work)
		},
	}
}

// pairsOfATurn are enough for every rate at an interval of ten milliseconds or more.
const pairsOfATurn = 500

func turn(name string, dropped bool, probes int, rate float64, router string) (Work, error) {
	targets := Targets(dropped)
	switch name {
	case nameFloor:
		address, err := net.ParseMAC(router)
		if err != nil {
			return Work{}, fmt.Errorf("read the router's address: %w", err)
		}
		return floor(address, probes, rate)
	case nameCurl:
		return curl(targets, probes)
	case "net.Dialer":
		return netDialer(targets, probes)
	case "net/http":
		return netHTTP(targets, probes)
	default:
		return engine(probe.Mode(name), targets[:pairsOfATurn], probes, rate)
	}
}

// newPairs has an engine probe ten thousand pairs, and prints the memory that it took.
func newPairs() *cobra.Command {
	return &cobra.Command{
		Use: "pairs MODE", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mode := probe.Mode(args[0])
			work, err := engineOfMany(mode)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(work)
		},
	}
}

// engineOfMany probes ten thousand dropped pairs by the default schedule for three seconds' worth.
func engineOfMany(mode probe.Mode) (Work, error) {
	schedule := probe.DefaultSchedule(mode)
	e, err := probe.New(probe.Config{Mode: mode, Timeout: probe.DefaultTimeout, Schedule: schedule})
	if err != nil {
		return Work{}, err
	}
	t := &tally{warmed: make(chan struct{}), reached: make(chan struct{}), enough: int64(3 * schedule.MaxRate)}
	for _, to := range Targets(true) {
		e.Add(to, t).Trigger(time.Now())
	}
	<-t.reached
	memory, err := flat.Resident()
	if err != nil {
		return Work{}, err
	}
	return Work{Probes: int(t.enough), Memory: memory}, e.Close()
}
