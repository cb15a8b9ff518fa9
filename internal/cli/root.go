// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/cli/wait"
	"github.com/netpol-latency/netpol-latency/internal/interrupt"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/version"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// The exit codes of netpol-latency.
const (
	ExitOK       = 0
	ExitFailure  = 1 // wrong usage, or it could not do its work
	ExitCensored = 2 // some pair did not change in time
	// ExitInvalid: some result says nothing, since the state before the trigger was not proved; of
	// wait, the contrary of what is expected is proved.
	ExitInvalid   = 3
	ExitThreshold = 4 // a threshold failed
)

// Main is the whole program: it returns the exit code. The release is what the linker was told,
// empty if it was not; the first argument is the name that the program was started by.
func Main(release string, args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()
	logTo(stderr)
	started := startedAs(args[0])
	root := newRoot(started, version.Read(Name, release), setting.All())
	root.SetArgs(append(started.before, args[1:]...))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		// What the API server and the pods said is in it, and may hold anything.
		text := visible.Text(reword(root, err.Error()))
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			text = "interrupted: " + text
		}
		fmt.Fprintf(stderr, "%s: %s\n", started.call, text)
	}

	return exitCode(err)
}

// logTo has libraries write their logs there, so that no terminal acts on what an API server said
// to them.
func logTo(stderr io.Writer) {
	var flags flag.FlagSet
	klog.InitFlags(&flags)
	// Lines of each severity are among those of the lower ones; the lowest gets all of them.
	for name, value := range map[string]string{
		"logtostderr": "false", "stderrthreshold": "FATAL",
	} {
		if err := flags.Set(name, value); err != nil {
			panic(err) // klog has no such flag any more: every test shows it
		}
	}
	klog.SetOutput(io.Discard)
	klog.SetOutputBySeverity("INFO", visible.Writer{To: stderr})
}

// exitCode is how the program ends with an error, or without one.
func exitCode(err error) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errInvalid), errors.Is(err, wait.ErrOpposite):
		return ExitInvalid
	case errors.Is(err, errCensored), errors.Is(err, errNotMeasured),
		errors.Is(err, wait.ErrTimeout):
		return ExitCensored
	case errors.Is(err, errThreshold), errors.Is(err, errSlower):
		return ExitThreshold
	case errors.Is(err, syscall.EPROTONOSUPPORT):
		return runner.ExitUnsupported
	}
	return ExitFailure
}

// Command is the command line as a tree of commands, for what makes documents of it.
func Command(release string) *cobra.Command {
	return newRoot(standalone(), version.Read(Name, release), setting.All())
}

// newRoot is the tree of commands, under the name that the user types. The settings are those that
// a run has.
func newRoot(started invocation, build version.Build, settings setting.Table) *cobra.Command {
	root := &cobra.Command{
		Use:   Name,
		Short: "Measure how long a cluster takes to make a network policy true on the wire",
		Long: "netpol-latency measures how long after the Kubernetes API accepted a change the " +
			"cluster's\n" +
			"network really allows, or really blocks, the traffic that the change is about.",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: started.call},
		Version:       build.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}

	root.SetVersionTemplate(build.String())
	// Where nothing better is known, a list of the files here is no help.
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.AddCommand(newRun(build, settings), newScenarios(), newCleanup())
	root.AddCommand(newWait())
	root.AddCommand(newManifests(), newSummary())
	root.AddCommand(newReport(settings), newCompare(settings))
	root.AddCommand(newAgent(), newServe(), newVersion(build))
	if started.plugin {
		root.AddCommand(newPluginCompletion())
	}

	root.SetUsageFunc(usage)
	root.SetFlagErrorFunc(suggestFlag)
	rewordAll(root, root)
	return root
}
