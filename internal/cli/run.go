// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/version"
)

// runOptions are the flags of the command.
type runOptions struct {
	runner.Options
	settings   *settingFlags
	access     accessFlags
	output     string
	dryRun     bool
	thresholds []string
	suite      string
	build      version.Build
	set        []string
	stdin      io.Reader
}

func newRun(build version.Build, settings setting.Table) *cobra.Command {
	o := newRunOptions(build, settings)
	cmd := &cobra.Command{
		Use:   "run [SCENARIO…]",
		Short: "Measure policy changes in a cluster, from nothing to a table",
		Long: "Create targets and agents in namespaces of its own, make the changes, measure " +
			"each pair, and remove\n" +
			"everything again. \"netpol-latency scenarios\" explains the scenarios; without " +
			"one,\n" +
			"pod-creation and policy-creation are measured.\n\n" +
			"Exit codes: 0 everything was measured and is within the thresholds; 1 wrong usage, " +
			"it failed, or\n" +
			"some pair was not observed; 2 some pair never changed in time (censored), or is " +
			"wrong for good\n" +
			"(--check); 3 some result is invalid: the state before the trigger could not be " +
			"proved; 4 a threshold\n" +
			"failed. If several apply: 1, then 3, 2, 4.",
		Example: "  netpol-latency run --targets 20 --repeat 3\n" +
			"  netpol-latency run -c suite.yaml --set targets=50\n" +
			"  netpol-latency run policy-deny --direction ingress --threshold " +
			"'policy-deny.p99<500ms'\n" +
			"  netpol-latency run --policy allow-web.yaml\n" +
			"  netpol-latency run --policy deny.yaml --from app=web --to app=db --expect blocked",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: scenarioNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args)
		},
	}

	o.flags(cmd.Flags())
	o.offer(cmd)
	o.access.add(cmd)
	return cmd
}

func newRunOptions(build version.Build, settings setting.Table) *runOptions {
	return &runOptions{
		Options: runner.DefaultOptions(), settings: newSettingFlags(settings), build: build,
	}
}

// offer says what the shell may offer for the flags.
func (o *runOptions) offer(cmd *cobra.Command) {
	o.settings.offer(cmd)
	offerFunc(cmd, "threshold", thresholdBeginnings)
	offerFunc(cmd, "namespace", namespaces(&o.access.Access))
	offerFunc(cmd, "target-namespace", namespaces(&o.access.Access))
	offerFunc(cmd, "restart-in", namespaces(&o.access.Access))
	offerDirectories(cmd, "output")
	offerFiles(cmd, "config", "yaml", "yml", "json")
	for _, name := range []string{"policy", "before", "replace"} {
		offerFiles(cmd, name, "yaml", "yml", "json")
	}
}

func (o *runOptions) flags(f *pflag.FlagSet) {
	o.settings.add(f)
	o.settings.addPlaces(f)
	f.StringVarP(&o.output, "output", "o", "",
		"directory for the results (default a new dated one)")
	f.StringVar(&o.AgentImage, "image", o.AgentImage, "image of the agents\n")
	f.StringVar(&o.TargetImage, "target-image", o.TargetImage,
		"image of the targets, which serves the ports 8080 and 8081,\n"+
			"or that of --policy, by itself (default the image of the\nagents)")
	f.StringVarP(&o.suite, "config", "c", "",
		"run the suite in this file: scenarios with their settings,\nand thresholds")
	f.StringArrayVar(&o.set, "set", nil,
		"change a setting of the suite, for example targets=50 or\n"+
			"policy-deny.repeat=3 (repeatable)")
	f.StringArrayVar(&o.thresholds, "threshold", nil,
		"limit of a result, for example 'policy-deny.p99<500ms'\n(repeatable)")
	f.BoolVar(&o.Keep, "keep", false, "leave everything in place, for \"netpol-latency "+
		"cleanup\"\nto remove")
	f.BoolVar(&o.Check, "check", false, "after the last iteration, look whether each pair is as "+
		"policy\n"+
		"wants it to be, for good")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the objects instead of creating them")
	f.StringVarP(&o.AgentNamespace, "namespace", "n", "",
		"namespace that exists, for the agents, and for the targets\nif they have no other one "+
			"(default new ones for both)")
	f.StringVar(&o.TargetNamespace, "target-namespace", "",
		"namespace that exists, for the targets")
	f.StringVar(&o.RunID, "run-id", "", "name of the run (default a new one)")
}

// prepare completes and checks the options, and says what is to be run. Nothing is asked of the
// cluster before.
func (o *runOptions) prepare(
	flags *pflag.FlagSet, names []string,
) ([]task, []measure.Threshold, error) {
	if o.RunID == "" {
		o.RunID = runner.NewRunID()
	}
	settings, wrong := o.settings.finish(flags)
	o.Settings = settings
	empty := refuseEmpty(flags, "policy", "before", "replace", "config", "namespace",
		"target-namespace", "image", "output", "run-id")

	tasks, err := o.tasks(names)
	mistakes := []error{empty, wrong, runner.ValidateRunID(o.RunID), err, o.checkSkip(tasks)}
	thresholds, err := parseThresholds(o.thresholds, tasks)
	return tasks, thresholds, errors.Join(append(mistakes, err)...)
}

func (o *runOptions) run(cmd *cobra.Command, names []string) error {
	o.stdin = cmd.InOrStdin()
	tasks, thresholds, err := o.prepare(cmd.Flags(), names)
	if err != nil {
		return err
	}

	cluster, err := o.access.cluster()
	if err != nil {
		return err
	}

	if err := o.fitFamily(cmd.Context(), cluster, tasks); err != nil {
		return err
	}
	if err := o.derive(cmd.Context(), cmd.ErrOrStderr(), cluster, tasks); err != nil {
		return err
	}
	if o.dryRun {
		return printTasks(cmd.Context(), cmd.OutOrStdout(), cluster, tasks)
	}

	ctx, output := interrupt.Unread(cmd.Context(), cmd.ErrOrStderr())
	work, err := o.begin(ctx, cluster, tasks)
	if err != nil {
		return err
	}

	work.progress = newProgress(cmd.ErrOrStderr())
	work.progress.out = output
	cluster.OnOutage(func(text string) {
		work.progress.show(runner.Progress{Scenario: "run", Problem: text})
	})
	fmt.Fprintf(output, "run %s: results go to %s\n", o.RunID, result.Directory(o.output))
	failed, left := work.runTasks(ctx)
	shown := work.show(cmd.OutOrStdout())
	failed = errors.Join(failed, work.end(errors.Join(failed, left)), shown)
	return work.conclude(cmd.OutOrStdout(), failed, left, thresholds)
}

// begin makes the directory of the results, and writes what is to be run.
func (o *runOptions) begin(
	ctx context.Context, cluster *kube.Cluster, tasks []task,
) (*work, error) {
	if err := runner.CheckUnused(ctx, cluster, o.Options); err != nil {
		return nil, err
	}
	if o.output == "" {
		o.output = time.Now().Format("netpol-latency-20060102-150405")
	}
	results, err := result.Create(o.output)
	if err != nil {
		return nil, err
	}

	w := o.newWork(tasks, results)
	w.cluster, w.run.Context = cluster, cluster.Context
	w.describe(ctx)
	return w, w.save()
}

// newWork is a run of which nothing has been done.
func (o *runOptions) newWork(tasks []task, results *result.Writer) *work {
	w := &work{
		tasks: tasks, results: results,
		run: result.Run{
			ID: o.RunID, Version: o.build.Version, Began: time.Now(),
			Command: withoutSecrets(os.Args[1:]),
			State:   result.StateRunning, Thresholds: o.thresholds,
		},
	}
	for _, one := range tasks {
		w.run.Scenarios = append(w.run.Scenarios, one.record(o.settings.table))
	}
	return w
}

// work is a run under way.
type work struct {
	cluster  *kube.Cluster
	progress *progress
	tasks    []task
	results  *result.Writer

	run     result.Run
	samples []measure.Sample
	number  int // of the task under way
}

// runTasks carries out the tasks one after the other. It returns why that failed, and apart from
// that what could not be removed.
func (w *work) runTasks(ctx context.Context) (failed, left error) {
	defer w.progress.end()
	r := &runner.Runner{Cluster: w.cluster, Progress: w.progress.show, Recorder: w}
	defer func() { left = r.Wait(ctx) }()
	for number, one := range w.tasks {
		w.number, r.Options = number, one.options
		if err := r.Run(ctx, one.scenario); err != nil {
			return fmt.Errorf("run %s: %w", one.scenario.Name, err), nil
		}
	}

	return nil, nil
}

// Iteration implements [runner.Recorder].
func (w *work) Iteration(samples []measure.Sample) error {
	w.samples = append(w.samples, samples...)
	if err := w.results.Append(samples); err != nil {
		return err
	}
	w.run.Scenarios[w.number].Iterations++
	return w.save()
}

// Scenario implements [runner.Recorder].
func (w *work) Scenario(facts runner.Facts) error {
	one := &w.run.Scenarios[w.number]
	one.AgentNodes, one.TargetNodes = facts.AgentNodes, facts.TargetNodes
	one.Check = facts.Check
	one.Events = facts.Events
	w.run.Warnings = append(w.run.Warnings, facts.Warnings...)
	if w.complete() {
		w.run.State = result.StateComplete
	}
	return w.save()
}

// complete reports whether everything has been run.
func (w *work) complete() bool {
	return !slices.ContainsFunc(w.run.Scenarios, func(one result.Scenario) bool {
		return one.Iterations < one.Planned
	})
}

// end writes how the run has ended. One that is complete stays so, whatever became of what it
// created.
func (w *work) end(failed error) error {
	if failed != nil && w.run.State == result.StateRunning {
		w.run.State, w.run.Error = result.StateFailed, failed.Error()
		if errors.Is(failed, context.Canceled) {
			w.run.Error = "interrupted"
		}
	}
	return errors.Join(w.save(), w.results.Close())
}

// save writes what is known of the run.
func (w *work) save() error {
	w.run.Ended = time.Now()
	var summaries []measure.Summary
	if w.run.State != result.StateRunning {
		summaries = measure.SummarizeAll(w.samples)
	}
	return w.results.Save(w.run, summaries)
}

// show prints a table for each setting, and what qualifies it.
func (w *work) show(out io.Writer) error {
	if err := report.Tables(out, measure.SummarizeAll(w.samples)); err != nil {
		return err
	}
	disruptions := report.Source{Run: w.run, Samples: w.samples}.Disruptions()
	if err := report.DisruptionText(out, disruptions); err != nil {
		return err
	}
	for _, warning := range w.run.Warnings {
		if _, err := fmt.Fprintln(out, "warning: "+warning); err != nil {
			return fmt.Errorf("print a warning: %w", err)
		}
	}
	return nil
}

// errUnobserved, errInvalid, errCensored and errThreshold are the ends of a run that worked, but
// whose result is not as it is to be.
var (
	errUnobserved = errors.New("some pairs were not observed: run it again")
	errInvalid    = errors.New("some results are invalid")
	errCensored   = errors.New("some pairs did not change in time")
	errWrong      = errors.New("some verdicts are wrong for good")
	errThreshold  = errors.New("a threshold failed")
)

// conclude is how the run ends: that something is left of it changes nothing of what was measured.
func (w *work) conclude(
	out io.Writer, failed, left error, thresholds []measure.Threshold,
) error {
	if failed == nil {
		failed = w.evaluate(out, thresholds)
	}
	return errors.Join(failed, left)
}

// evaluate says how the run ends, after its findings and how its thresholds stand.
func (w *work) evaluate(out io.Writer, thresholds []measure.Threshold) error {
	assessment := measure.Assess(w.samples, thresholds)
	for _, one := range w.run.Scenarios {
		if one.Check != nil {
			assessment = assessment.Checked(one.Scenario, one.Setting, *one.Check)
		}
	}
	if err := report.Findings(out, assessment); err != nil {
		return err
	}

	kind, failed := map[measure.RunOutcome]error{
		measure.NotObserved: errUnobserved, measure.NotProved: errInvalid,
		measure.NotInTime:       errCensored,
		measure.WrongVerdict:    errWrong,
		measure.ThresholdFailed: errThreshold,
	}[assessment.Outcome]
	if !failed {
		return nil
	}
	return fmt.Errorf("%w: %s", kind, assessment.Reason)
}

// describe notes what the cluster says about itself. What it does not say is left out: the results
// count.
func (w *work) describe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if info, err := w.cluster.Discovery().ServerVersion(); err == nil {
		w.run.Kubernetes = info.GitVersion
	}

	if found, err := kube.Plugins(ctx, w.cluster); err == nil {
		for _, plugin := range found {
			w.run.Plugins = append(w.run.Plugins, result.Plugin(plugin))
		}
	}

	nodes, err := w.cluster.Nodes(ctx)
	if err != nil {
		return
	}

	for i, node := range nodes {
		one := result.Node{Name: node.Name}
		if i < describedNodes {
			if found, err := w.cluster.Node(ctx, node.Name); err == nil {
				info := found.Status.NodeInfo
				one.Kernel, one.OS = info.KernelVersion, info.OSImage
			}
		}
		w.run.Nodes = append(w.run.Nodes, one)
	}
}

// describedNodes is of how many nodes the kernel and the operating system are noted: a larger
// cluster has as many kinds of nodes as these show.
const describedNodes = 50
