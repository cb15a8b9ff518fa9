// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/lab/internal/engine"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/node"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

// dirFlag adds --dir to a command that works on a running lab.
func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", defaultDir(),
		"state directory of the lab (default $"+dirVariable+")")
}

// find describes the running lab of --dir.
func find(dir string) (supervisor.Lab, error) {
	if dir == "" {
		return supervisor.Lab{}, errors.New("--dir is missing: expected the state directory of a " +
			"running lab")
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return supervisor.Lab{}, fmt.Errorf("use --dir %q: %w", dir, err)
	}
	return supervisor.Load(layout.Dir(absolute))
}

func control(dir string) (supervisor.Control, error) {
	lab, err := find(dir)
	return supervisor.Control{Dir: lab.Dir}, err
}

func newSet() *cobra.Command {
	var dir string
	var given engine.Settings
	cmd := &cobra.Command{
		Use:     "set --dir DIR [flags]",
		Short:   "Change the reference engine's settings while it runs",
		Long:    "Change the settings that are given, keep the others, and print all of them.",
		Example: "  netpol-latency-lab set --dir ./lab-state --delay 1s --reject reset",
		Args:    cobra.NoArgs,
	}

	dirFlag(cmd, &dir)
	addSettings(cmd.Flags(), &given)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := control(dir)
		if err != nil {
			return err
		}
		settings, err := c.Settings(cmd.Context())
		if err != nil {
			return err
		}

		changed := cmd.Flags().Changed
		replace(changed("delay"), &settings.Delay, given.Delay)
		replace(changed("jitter"), &settings.Jitter, given.Jitter)
		replace(changed("batch"), &settings.Batch, given.Batch)
		replace(changed("gap"), &settings.Gap, given.Gap)
		replace(changed("reject"), &settings.Reject, given.Reject)
		replace(changed("fault"), &settings.Faults, given.Faults)
		if err := c.Set(cmd.Context(), settings); err != nil {
			return err
		}

		fmt.Fprintf(cmd.OutOrStdout(), "delay %v, jitter %v, batch %d, gap %v, reject %q, fault "+
			"%v\n",
			settings.Delay, settings.Jitter, settings.Batch, settings.Gap, settings.Reject,
			settings.Faults)
		return nil
	}

	return cmd
}

func replace[T any](given bool, setting *T, value T) {
	if given {
		*setting = value
	}
}

func newComponentAction() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "component status|start|stop|restart|kill [NAME]",
		Short: "Show, start, stop, restart or kill a part of a running lab",
		Example: "  netpol-latency-lab component status --dir ./lab-state\n" +
			"  netpol-latency-lab component kill kube-apiserver --dir ./lab-state",
		Args: cobra.RangeArgs(1, 2),
	}

	dirFlag(cmd, &dir)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := control(dir)
		if err != nil {
			return err
		}
		if args[0] == "status" {
			return status(cmd, c)
		}
		if len(args) != 2 {
			return fmt.Errorf("%s what? expected the name of a component: \"component status\" "+
				"lists them", args[0])
		}
		return c.Act(cmd.Context(), args[1], args[0])
	}

	return cmd
}

func newNode() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "node " + strings.Join(node.Actions, "|") + " NAME",
		Short: "Make a node of a running lab not ready, or rotate its logs",
		Long: "A node that is not ready has lost its container runtime: what runs there runs on, " +
			"and logs can not\n" +
			"be read. Logs are rotated whatever their size; see --log-size of \"up\".",
		Example: "  netpol-latency-lab node not-ready node-0 --dir ./lab-state\n" +
			"  netpol-latency-lab node ready node-0 --dir ./lab-state",
		Args:      cobra.ExactArgs(2),
		ValidArgs: node.Actions,
	}

	dirFlag(cmd, &dir)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := control(dir)
		if err != nil {
			return err
		}
		return c.ActOnNode(cmd.Context(), args[1], args[0])
	}

	return cmd
}

func status(cmd *cobra.Command, c supervisor.Control) error {
	components, err := c.Components(cmd.Context())
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tSTATE\tLOG")
	for _, one := range components {
		state := "stopped"
		if one.Running {
			state = "running"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", one.Name, state, c.Dir.Log(one.Name))
	}

	return table.Flush()
}

func newEnter() *cobra.Command {
	var dir, node string
	cmd := &cobra.Command{
		Use:   "enter --dir DIR [--node NODE] [-- CMD…]",
		Short: "Run a command in a node's router namespace",
		Long: "Run CMD, or a shell, in the network namespace of a node, and exit with its code: " +
			"all traffic of\n" +
			"the node's pods passes the netfilter hooks there. KUBECONFIG is set to one that " +
			"works from there.\n" +
			"Needs nsenter (util-linux).",
		Example: "  netpol-latency-lab enter --dir ./lab-state -- ip -brief address",
	}

	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&node, "node", "node-0", "name of the node")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		lab, err := find(dir)
		if err != nil {
			return err
		}
		path, ok := lab.Nodes[node]
		if !ok {
			return fmt.Errorf("unknown node %q: expected one of the nodes that kubectl get nodes "+
				"lists", node)
		}

		if len(args) == 0 {
			args = []string{shell()}
		}
		return enter(cmd, lab, path, args)
	}

	return cmd
}

// enter joins the namespaces through nsenter: a process of many threads, like this one, cannot join
// a user namespace (setns(2)).
func enter(cmd *cobra.Command, lab supervisor.Lab, namespace string, args []string) error {
	program, err := exec.LookPath("nsenter")
	if err != nil {
		return fmt.Errorf("enter the node's namespace: install nsenter (package util-linux): %w",
			err)
	}

	arguments := []string{"nsenter", "--net=" + namespace}
	if lab.Rootless {
		arguments = append(arguments, fmt.Sprintf("--user=/proc/%d/ns/user", lab.PID),
			"--preserve-credentials")
	}
	return runChild(&exec.Cmd{
		Path: program, Args: append(append(arguments, "--"), args...),
		Env: append(os.Environ(), "KUBECONFIG="+lab.Dir.Config("admin.kubeconfig"),
			dirVariable+"="+string(lab.Dir)),
		Stdin: os.Stdin, Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
	}, nil)
}

func shell() string {
	if path := os.Getenv("SHELL"); path != "" {
		return path
	}
	return "/bin/sh"
}
