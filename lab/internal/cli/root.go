// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line of netpol-latency-lab.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	component "k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
	_ "github.com/netpol-latency/netpol-latency/lab/internal/untranslated"
)

// The exit codes of the lab; "run" passes on that of its command.
const (
	exitOK      = 0
	exitFailure = 1
)

// exitCode is the error of a command that ended with a code of its own and has said why.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("end with exit code %d", int(c)) }

// Main is the whole program: it returns the exit code. Under the name kubectl it is kubectl.
func Main(args []string, stdout, stderr io.Writer) int {
	if filepath.Base(args[0]) == "kubectl" {
		return run(kubectl.NewDefaultKubectlCommand(), args[1:], stdout, stderr)
	}
	// Only for those who look at a list of processes: it shows what was started as /proc/self/exe
	// as "exe".
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(args[0])), 0)
	if len(args) > 2 && args[1] == supervisor.ComponentProcess {
		if command := kubernetes(args[2]); command != nil {
			command.SetArgs(args[3:])
			return component.Run(command)
		}
	}

	root := &cobra.Command{
		Use:   "netpol-latency-lab",
		Short: "A Kubernetes control plane with real pod networks and no cluster",
		Long: "netpol-latency-lab runs etcd, kube-apiserver, kube-controller-manager, " +
			"kube-scheduler, a node\n" +
			"agent and a policy engine in namespaces of its own. Nothing on the host changes, " +
			"and nothing is\n" +
			"left when it ends. It needs root, or a kernel that lets users make user " +
			"namespaces.\n\n" +
			"Exit codes: 0 done, 1 it failed or the command line is wrong; run and enter pass on " +
			"their command's.",
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}

	// Libraries have put flags of theirs there, which cobra would offer as this program's.
	pflag.CommandLine = pflag.NewFlagSet(args[0], pflag.ContinueOnError)
	root.AddCommand(newUp(), newRun(), newSet(), newComponentAction(), newNode(), newEnter(),
		newKubectl(), newVersion())
	root.AddCommand(newInner(), newComponent())
	return run(root, args[1:], stdout, stderr)
}

// run executes the command until it ends or a signal comes; a second signal ends the process at
// once.
func run(command *cobra.Command, args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()

	command.SetArgs(args)
	command.SetOut(stdout)
	command.SetErr(stderr)
	err := command.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}

	fmt.Fprintf(stderr, "%s: %v\n", command.Name(), err)
	return exitFailure
}

func newKubectl() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl ARGS…",
		Short:              "Run the built-in kubectl",
		Example:            "  netpol-latency-lab kubectl --kubeconfig DIR/kubeconfig get pods -A",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			inner := kubectl.NewDefaultKubectlCommand()
			inner.SetArgs(args)
			return inner.ExecuteContext(cmd.Context())
		},
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of the lab and of its Kubernetes",
		Example: "  netpol-latency-lab version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return errors.New("read the version: this program carries no build information")
			}
			fmt.Fprintln(cmd.OutOrStdout(), "netpol-latency-lab", info.Main.Version)
			for _, module := range info.Deps {
				if module.Path == "k8s.io/kubernetes" ||
					module.Path == "go.etcd.io/etcd/server/v3" {
					fmt.Fprintln(cmd.OutOrStdout(), module.Path, module.Version)
				}
			}
			return nil
		},
	}
}

// defaultDir is the directory that a command in "run" finds its lab in.
func defaultDir() string { return os.Getenv(dirVariable) }
