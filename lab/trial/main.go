// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
)

// options are the flags of the command.
type options struct {
	scenarios []string
	delays    []time.Duration
	targets   int
	runs      int
	lab       string
	limit     time.Duration
	observer  bool
	awaiting  bool
	agent     bool
	// clientArgs are further arguments of the test client, and manifestArgs of "netpol-latency
	// manifests".
	clientArgs, manifestArgs []string
}

// policyCreation is the scenario whose client an observation is made with.
const policyCreation = "policy-creation"

// Main is the whole program: it returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()

	var o options
	cmd := &cobra.Command{
		Use:   "netpol-latency-trial",
		Short: "Evaluate the test clients by the lab's truth log",
		Long: "Run the test clients in the lab of $NETPOL_LATENCY_LAB_DIR and print what they " +
			"report beside\n" +
			"what the policy engine did, and what the lab's witness heard. Exits with 1 if a " +
			"target is not\n" +
			"measured, if a bracket misses its commit, or if the 99th percentile of the error " +
			"exceeds the limit.",
		Example: "  netpol-latency-lab run -- netpol-latency-trial --runs 10 --delay 0s,300ms",
		Args:    cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}

	f := cmd.Flags()
	f.StringSliceVar(&o.scenarios, "scenario", []string{policyCreation, "pod-creation"},
		"what to measure")
	f.DurationSliceVar(&o.delays, "delay", []time.Duration{300 * time.Millisecond},
		"delays of the engine")
	f.IntVar(&o.targets, "targets", 20, "number of targets")
	f.IntVar(&o.runs, "runs", 1, "runs of every scenario with every delay")
	f.StringVar(&o.lab, "lab", os.Getenv("NETPOL_LATENCY_LAB_DIR"), "state directory of the lab")
	f.DurationVar(&o.limit, "limit", 0, "highest 99th percentile of the error (0: none)")
	f.BoolVar(&o.observer, "observer", false,
		"compare the enforcement beside a client that probes and beside the same one halted, "+
			"instead")
	f.BoolVar(&o.awaiting, "awaiting", false,
		"with --observer: the client has no policy, and goes on reading it")
	f.BoolVar(&o.agent, "agent", false,
		"with --observer: an agent of \"netpol-latency run\" probes, which awaits a trigger that "+
			"never comes")
	f.StringSliceVar(&o.clientArgs, "client-arg", nil, "further arguments of the test client")
	f.StringSliceVar(&o.manifestArgs, "manifest-arg", nil,
		"further arguments of \"netpol-latency manifests\", for example --net-raw")
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "netpol-latency-trial: %v\n", err)
		return 1
	}

	return 0
}

func (o options) run(ctx context.Context, out io.Writer) error {
	if o.lab == "" {
		return errors.New("--lab is missing: expected the state directory of a running lab; " +
			"\"netpol-latency-lab run -- netpol-latency-trial\" provides it")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}

	dir := layout.Dir(o.lab)
	truthLog, commits := existing(dir.Truth()), existing(dir.Commits())
	switch {
	case truthLog == "" && o.observer:
		return errors.New("observe the engine: expected the lab's own, which has a truth log")
	case truthLog == "" && commits == "":
		return fmt.Errorf("evaluate the clients: the lab in %s knows no truth; start it with "+
			"--witness, or with the reference engine", o.lab)
	}
	client, err := kube.ConnectCluster(kube.Access{Kubeconfig: dir.Kubeconfig()},
		"netpol-latency-trial")
	if err != nil {
		return err
	}

	base := Trial{
		Targets: o.targets, Programs: filepath.Dir(self), Kubeconfig: dir.Kubeconfig(),
		Truth: truthLog, Commits: commits, Client: client.Interface, Commands: out,
		ClientArgs: o.clientArgs, ManifestArgs: o.manifestArgs,
		Awaiting: o.awaiting, Agent: o.agent,
	}
	if truthLog == "" { // the engine is a program of its own, with no settings
		return o.trials(ctx, out, base, 0)
	}

	var mistakes []error
	for i, delay := range o.delays {
		if err := setDelay(ctx, base.Programs, o.lab, delay); err != nil {
			return err
		}
		mistakes = append(mistakes, o.trials(ctx, out, base, i))
	}

	return errors.Join(mistakes...)
}

// trials carries out a trial of each scenario with the delay of that index.
func (o options) trials(ctx context.Context, out io.Writer, base Trial, index int) error {
	delay := "the engine's own delay"
	if base.Truth != "" {
		delay = "enforcer delay " + o.delays[index].String()
	}

	var mistakes []error
	for _, scenario := range o.scenarios {
		fmt.Fprintf(out, "\n%s, %d targets, %s\n", scenario, o.targets, delay)
		t := base
		t.Scenario, t.Name = scenario, o.name(scenario, index)
		if o.observer {
			mistakes = append(mistakes, o.observe(ctx, out, t, o.delays[index]))
		} else {
			mistakes = append(mistakes, o.series(ctx, out, t))
		}
	}

	return errors.Join(mistakes...)
}

// name makes a trial's namespaces its own among those of all delays; one delay needs no number.
func (o options) name(scenario string, delay int) string {
	if len(o.delays) == 1 {
		return scenario
	}
	return fmt.Sprintf("%s-%d", scenario, delay)
}

// series runs a trial as often as was asked for and reports on all runs together.
func (o options) series(ctx context.Context, out io.Writer, t Trial) error {
	var all Result
	name := t.Name
	for run := range o.runs {
		if o.runs > 1 {
			t.Name = fmt.Sprintf("%s-%d", name, run)
		}
		result, err := t.Run(ctx)
		if err != nil {
			return fmt.Errorf("run %d of %s: %w", run+1, t.Scenario, err)
		}

		t.Commands = nil // once is enough
		all.Samples = append(all.Samples, result.Samples...)
		all.Evaluated = append(all.Evaluated, result.Evaluated...)
		if o.runs > 1 {
			fmt.Fprintf(out, "  run %2d: %d/%d measured, error p50 %s, max %s\n", run+1,
				len(result.Evaluated), o.targets,
				measure.FormatDuration(Errors(result.Evaluated).Quantile(.5)),
				measure.FormatDuration(Errors(result.Evaluated).Quantile(1)))
		}
	}
	if err := t.Report(out, all); err != nil {
		return err
	}

	return o.verdict(t, all)
}

// existing is the path of a file, empty if there is none.
func existing(path string) string {
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// verdict says what does not hold.
func (o options) verdict(t Trial, all Result) error {
	var mistakes []error
	if expected := o.runs * o.targets; len(all.Evaluated) != expected {
		mistakes = append(mistakes, fmt.Errorf("%s: %d of %d targets were measured", t.Scenario,
			len(all.Evaluated), expected))
	}

	misses := len(all.Evaluated) - Holding(all.Evaluated)
	if t.Truth != "" && misses > 0 {
		mistakes = append(mistakes, fmt.Errorf("%s: %d brackets miss their commit", t.Scenario,
			misses))
	}
	empty := len(all.Evaluated) - Witnessing(all.Evaluated)
	if t.Commits != "" && empty > 0 {
		mistakes = append(mistakes, fmt.Errorf("%s: %d brackets are empty of commits that the "+
			"kernel announced", t.Scenario, empty))
	}
	if p99 := Errors(all.Evaluated).Quantile(.99); o.limit > 0 && p99 > o.limit {
		mistakes = append(mistakes, fmt.Errorf("%s: the 99th percentile of the error is %s; the "+
			"limit is %s",
			t.Scenario, p99, o.limit))
	}

	return errors.Join(mistakes...)
}

func setDelay(ctx context.Context, programs, lab string, delay time.Duration) error {
	output, err := exec.CommandContext(ctx, filepath.Join(programs, "netpol-latency-lab"),
		"set", "--dir", lab, "--delay", delay.String()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("set the engine's delay: %w: %s", err, output)
	}
	return nil
}
