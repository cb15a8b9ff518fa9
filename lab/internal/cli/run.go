// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

// dirVariable tells the command of "run" where its lab's state directory is.
const dirVariable = "NETPOL_LATENCY_LAB_DIR"

func newRun() *cobra.Command {
	var flags labFlags
	cmd := &cobra.Command{
		Use:   "run [flags] -- CMD [ARGS…]",
		Short: "Run a command against a lab of its own",
		Long: "Start a lab, run CMD with KUBECONFIG set to it, tear the lab down and exit with " +
			"CMD's code\n" +
			"(128 and the signal's number if a signal ended it, 1 if the lab failed).\n" +
			"CMD also finds the state directory in $" + dirVariable +
			", and a kubectl in its PATH if\n" +
			"the machine has none. Without --dir, the state directory is removed at the end. " +
			"SIGINT and\n" +
			"SIGTERM are passed on to CMD; a second one kills it.",
		Example: "  netpol-latency-lab run --delay 300ms -- kubectl get nodes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no command: expected one after --, for example: run -- " +
					"kubectl get nodes")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCommand(cmd, &flags, args)
		},
	}

	cmd.Flags().StringVar(&flags.dir, "dir", "", "state directory (default: a temporary one)")
	flags.add(cmd)
	return cmd
}

func runCommand(cmd *cobra.Command, flags *labFlags, args []string) error {
	options, err := flags.options()
	if err != nil {
		return err
	}
	// Better to know before the lab is up. A kubectl there will be in any case.
	if _, err := exec.LookPath(args[0]); err != nil && args[0] != "kubectl" {
		return fmt.Errorf("run the command: %w", err)
	}

	lab, err := supervisor.Start(cmd.Context(), options, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	err = execute(lab, args)
	stopped := lab.Stop()
	switch {
	case errors.Is(err, errLabEnded):
		return fmt.Errorf("%w: %w", err, stopped)
	case err != nil:
		return err
	}

	return stopped
}

// execute runs the command until it or the lab ends.
func execute(lab *supervisor.Running, args []string) error {
	path, err := pathWithKubectl(lab.Dir)
	if err != nil {
		return err
	}
	environment := append(os.Environ(),
		"KUBECONFIG="+lab.Kubeconfig, dirVariable+"="+string(lab.Dir), "PATH="+path,
		"KUBECACHEDIR="+lab.Dir.Cache())
	program, err := exec.LookPath(args[0])
	if err != nil {
		program = lab.Dir.Bin() + "/kubectl"
	}

	command := &exec.Cmd{
		Path: program, Args: args, Env: environment, Stdin: os.Stdin, Stdout: os.Stdout,
		Stderr: os.Stderr,
	}
	return runChild(command, lab.Exited())
}

// pathWithKubectl is the search path with this program's kubectl at its end.
func pathWithKubectl(dir layout.Dir) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	if err := os.MkdirAll(dir.Bin(), 0o755); err != nil {
		return "", fmt.Errorf("create the directory of kubectl: %w", err)
	}
	err = os.Symlink(self, dir.Bin()+"/kubectl")
	if err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("provide kubectl: %w", err)
	}
	return os.Getenv("PATH") + string(os.PathListSeparator) + dir.Bin(), nil
}
