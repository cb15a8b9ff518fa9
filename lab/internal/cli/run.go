// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

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
		Long: "Start a lab, run CMD with KUBECONFIG set to it, tear the lab down and exit with CMD's code.\n" +
			"CMD also finds the state directory in $" + dirVariable + ", and a kubectl in its PATH if\n" +
			"the machine has none. Without --dir, the state directory is removed at the end.",
		Example: "  netpol-latency-lab run --delay 300ms -- kubectl get nodes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no command: expected one after --, for example: run -- kubectl get nodes")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runCommand(cmd, &flags, args) },
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
	lab, err := supervisor.Start(cmd.Context(), options, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	err = execute(cmd.Context(), options.Dir, lab, args)
	stopped := lab.Stop()
	if err != nil {
		return err
	}
	return stopped
}

// execute runs the command until it or the lab ends. On a signal the command gets SIGTERM and may
// finish.
func execute(ctx context.Context, dir layout.Dir, lab *supervisor.Running, args []string) error {
	path, err := pathWithKubectl(dir)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(),
		"KUBECONFIG="+lab.Kubeconfig, dirVariable+"="+string(dir), "PATH="+path)
	if err := command.Start(); err != nil {
		return fmt.Errorf("run the command: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	select {
	case err = <-done:
	case <-lab.Exited():
		_ = command.Process.Signal(syscall.SIGTERM) // without a lab it cannot succeed
		<-done
		return errors.New("the lab ended before the command did")
	}
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended) && ended.Exited():
		return exitCode(ended.ExitCode())
	case errors.As(err, &ended):
		return exitCode(128 + int(ended.Sys().(syscall.WaitStatus).Signal()))
	case ctx.Err() != nil && err != nil:
		return exitCode(128 + int(syscall.SIGTERM))
	case err != nil:
		return fmt.Errorf("run the command: %w", err)
	}
	return nil
}

// pathWithKubectl is the search path with this program's kubectl at its end.
func pathWithKubectl(dir layout.Dir) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	if err := os.MkdirAll(dir.Bin(), 0o755); err != nil {
		return "", fmt.Errorf("make room for kubectl: %w", err)
	}
	err = os.Symlink(self, dir.Bin()+"/kubectl")
	if err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("provide kubectl: %w", err)
	}
	return os.Getenv("PATH") + string(os.PathListSeparator) + dir.Bin(), nil
}
