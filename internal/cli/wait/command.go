// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package wait is the command "netpol-latency wait", which is a program of its own, too.
package wait

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/gate"
	"github.com/netpol-latency/netpol-latency/internal/interrupt"
	"github.com/netpol-latency/netpol-latency/internal/ownpod"
	"github.com/netpol-latency/netpol-latency/internal/version"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// The exit codes.
const (
	ExitOpen     = 0
	ExitFailure  = 1 // wrong usage, it could not probe, or a signal ended it
	ExitTimeout  = 2 // not everything was as expected for long enough, or it is not known
	ExitOpposite = 3 // the contrary was so from the first probe to the last
)

var (
	// ErrTimeout is that not everything was as expected in time.
	ErrTimeout = errors.New("not everything was as expected in time")
	// ErrOpposite is that the contrary of an expectation is proved.
	ErrOpposite = errors.New("the contrary of what is expected was so all the time")
)

// ExitCode is how a program ends with an error of the command, or without one.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return ExitOpen
	case errors.Is(err, ErrOpposite):
		return ExitOpposite
	case errors.Is(err, ErrTimeout):
		return ExitTimeout
	}
	return ExitFailure
}

// Main is the whole of the program that is nothing but this command, by its name: it returns the
// exit code. The release is what the linker was told, empty if it was not.
func Main(name, release string, args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()
	cmd := New(name, name, gate.Run)
	build := version.Read(name, release)
	cmd.Version = build.Version
	cmd.SetVersionTemplate(build.String())
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.AddCommand(newInstall(name))
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		text := visible.Text(err.Error())
		if errors.Is(err, context.Canceled) {
			text = "interrupted: " + text
		}
		fmt.Fprintf(stderr, "%s: %s\n", name, text)
	}
	return ExitCode(err)
}

// options are the flags.
type options struct {
	wait                      Run
	config                    gate.Config
	blocked, allowed, control []string
	json, quiet, stay         bool
	condition                 string
}

// Run waits, and tells what has been seen meanwhile: [gate.Run], or one that does so elsewhere.
type Run func(
	ctx context.Context, config gate.Config, watch func(gate.Certificate),
) (gate.Certificate, error)

// New makes the command under a name, which a user calls as its examples do.
func New(name, call string, run Run) *cobra.Command {
	o := options{config: gate.DefaultConfig(), wait: run}
	cmd := &cobra.Command{
		Use:   name,
		Short: "Wait until policy is in force, as seen from here",
		Long: "Probe from here until everything that must be blocked is blocked, and everything " +
			"that must be\n" +
			"allowed is allowed, for as long as --hold says, and end with 0 then. It needs no " +
			"privilege and\n" +
			"no API server: as the init container of a pod it keeps the others from starting " +
			"before.\n\n" +
			"An endpoint is tcp://HOST:PORT or udp://HOST:PORT; tcp4, tcp6, udp4 and udp6 take " +
			"the addresses of\n" +
			"one family. Names are resolved again and again, and all their addresses count. What " +
			"is probed by\n" +
			"UDP must answer any datagram while it is allowed.\n\n" +
			"Silence proves a policy only if the path works: --control names an endpoint that is " +
			"reached the same\n" +
			"way and always allowed, for example another port of the host.\n\n" +
			"It ends with 2 if not everything was as expected within --timeout, or that is not " +
			"known, with 3 if\n" +
			"the contrary was so from the first probe to the last, and with 1 if it was called " +
			"wrongly or ended.",
		Example: "  " + call +
			" --blocked tcp://169.254.169.254:80 --allowed tcp://10.0.0.7:443\n" +
			"  " + call + " --blocked tcp://db.shop:5432 --control tcp://db.shop:8080 --json\n" +
			"  " + call + " --blocked udp://10.96.0.10:53 --hold 1s --timeout 1m --quiet",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}

	f := cmd.Flags()
	f.StringArrayVar(&o.blocked, "blocked", nil,
		"`ENDPOINT` that must be blocked (repeatable)")
	f.StringArrayVar(&o.allowed, "allowed", nil,
		"`ENDPOINT` that must be allowed (repeatable)")
	f.StringArrayVar(&o.control, "control", nil,
		"`ENDPOINT` that is always allowed, reached the same way as\nthose that must be blocked "+
			"(repeatable)")
	f.DurationVar(&o.config.Hold, "hold", o.config.Hold,
		"how long everything must be as expected")
	f.DurationVar(&o.config.Timeout, "timeout", o.config.Timeout, "how long to wait at most")
	f.DurationVar(&o.config.Interval, "probe-interval", o.config.Interval,
		"time between two probes of an address")
	f.DurationVar(&o.config.ProbeTimeout, "probe-timeout", o.config.ProbeTimeout,
		"longest wait of a probe, below 1s")
	f.BoolVar(&o.json, "json", false, "print what was seen as one line of JSON")
	f.StringVar(&o.condition, "readiness-gate", "",
		"set this condition of the pod's own status at the end,\n"+
			"for example example.com/enforced: True if all is as expected")
	f.BoolVar(&o.stay, "stay", false,
		"do not end before a signal comes, if all is as expected:\nfor a container beside others")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print nothing but what --json asks for")
	for _, flag := range []string{"blocked", "allowed", "control"} {
		_ = cmd.RegisterFlagCompletionFunc(flag, schemes) // the flag exists
	}
	return cmd
}

// schemes offers what an endpoint begins with.
func schemes(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var all []cobra.Completion
	for _, scheme := range gate.Schemes() {
		all = append(all, scheme+"://")
	}
	return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace |
		cobra.ShellCompDirectiveKeepOrder
}

// Arguments are those by which the program does what a configuration says, and prints the
// certificate alone.
func Arguments(config gate.Config) []string {
	var all []string
	for _, one := range config.Expect {
		all = append(all, fmt.Sprintf("--%s=%s", one.Kind, one.Endpoint))
	}
	return append(all, "--hold="+config.Hold.String(), "--timeout="+config.Timeout.String(),
		"--probe-interval="+config.Interval.String(),
		"--probe-timeout="+config.ProbeTimeout.String(), "--json", "--quiet")
}

// expect are the expectations that the flags name; every mistake is reported at once.
func (o *options) expect() ([]gate.Expect, error) {
	var all []gate.Expect
	var mistakes []error
	for _, of := range []struct {
		kind  gate.Kind
		texts []string
	}{{gate.Control, o.control}, {gate.Blocked, o.blocked}, {gate.Allowed, o.allowed}} {
		for _, text := range of.texts {
			endpoint, err := gate.ParseEndpoint(text)
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("--%s %w", of.kind, err))
				continue
			}
			all = append(all, gate.Expect{Kind: of.kind, Endpoint: endpoint})
		}
	}
	return all, errors.Join(mistakes...)
}

func (o *options) run(cmd *cobra.Command) error {
	expect, err := o.expect()
	if err != nil {
		return err
	}
	o.config.Expect = expect
	var pod *ownpod.Pod
	if o.condition != "" {
		if pod, err = ownpod.Find(); err != nil {
			return err
		}
	}

	out := io.Discard
	if !o.quiet {
		out = cmd.ErrOrStderr()
	}
	progress := newProgress(out)
	proof, err := o.wait(cmd.Context(), o.config, progress.show)
	progress.end()
	if err != nil {
		return err
	}
	err = errors.Join(o.print(cmd.OutOrStdout(), proof), verdict(proof))
	if pod != nil && proof.Result != gate.Interrupted {
		err = errors.Join(err, pod.Set(cmd.Context(), o.conditionOf(proof)))
	}
	if o.stay && err == nil {
		<-cmd.Context().Done()
	}
	return err
}

// conditionOf is what a certificate makes of the pod's condition.
func (o *options) conditionOf(proof gate.Certificate) ownpod.Condition {
	c := ownpod.Condition{Type: o.condition}
	switch proof.Result {
	case gate.Open:
		c.True, c.Reason = true, "Enforced"
		c.Message = "everything was as expected for " + proof.Hold.String()
	case gate.Opposite:
		c.Reason, c.Message = "NotEnforced", missing(proof)
	default:
		c.Reason, c.Message = "NotProved", missing(proof)
	}
	return c
}

// print writes the certificate as a person or a program reads it.
func (o *options) print(out io.Writer, proof gate.Certificate) error {
	text := []byte(lines(proof))
	switch {
	case o.json:
		line, err := proof.JSON()
		if err != nil {
			return err
		}
		text = line
	case o.quiet:
		return nil
	}
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("print what was seen: %w", err)
	}
	return nil
}

// verdict is the error that says what kept the gate closed, nil if it opened.
func verdict(proof gate.Certificate) error {
	switch proof.Result {
	case gate.Open:
		return nil
	case gate.Opposite:
		return fmt.Errorf("%s: %w", missing(proof), ErrOpposite)
	case gate.Interrupted:
		return fmt.Errorf("%s: %w", missing(proof), context.Canceled)
	default:
		return fmt.Errorf("%s: %w", missing(proof), ErrTimeout)
	}
}
