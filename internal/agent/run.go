// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/version"
)

// The exit codes of a client.
const (
	ExitOK          = 0
	ExitFailure     = 1 // wrong usage, or the client could not do its work
	ExitNotMeasured = 2 // with ExitWhenDone: some target has no latency
)

// Main is a client's whole program: it returns the exit code. SIGINT and SIGTERM end the run, and a
// second signal ends the process at once. The release is what the linker was told, empty if it was
// not.
func Main(scenario Scenario, release string, args []string, stdout, stderr io.Writer) int {
	config, err := ParseFlags(scenario, args)
	switch {
	case errors.Is(err, errHelp):
		err = help(stdout, scenario)
	case errors.Is(err, errVersion):
		err = version.Read(scenario.Program, release).Write(stdout, version.Text)
	case err == nil:
		ctx, stop := interrupt.Context(context.Background())
		defer stop()
		err = Run(ctx, scenario, config)
	default:
		err = fmt.Errorf("%w\nSee %s --help.", err, scenario.Program)
	}
	if err == nil {
		return ExitOK
	}

	fmt.Fprintf(stderr, "%s: %v\n", scenario.Program, err)
	if errors.Is(err, errNotAllMeasured) {
		return ExitNotMeasured
	}

	return ExitFailure
}

// Run connects, measures and then idles until the context ends, which is no error; or, with
// ExitWhenDone, returns as soon as every target has a result.
func Run(ctx context.Context, scenario Scenario, config Config) (err error) {
	klog.Infof("Starting %s client", strings.ReplaceAll(scenario.Program, "-", " "))
	for _, line := range config.describe(scenario) {
		klog.Info(line)
	}
	klog.Info("Verifying test client configuration") // which has been done

	client, err := kube.Connect(config.Kubeconfig, scenario.Program)
	if err != nil {
		return err
	}

	engine, err := startEngine(config, control(ctx, config.Kubeconfig, probe.ControlInterval))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()

	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", config.MetricsPort))
	if err != nil {
		return fmt.Errorf("serve metrics: choose another port with -MetricsPort: %w", err)
	}

	return newEnvironment(scenario, config, client, engineOf{engine}).run(ctx, listener)
}

// control is how often to probe the API server's address, which every isolated client may reach.
// Where that cannot be found out the engine does without.
func control(ctx context.Context, kubeconfig string, interval time.Duration) probe.Control {
	address, err := kube.ServerAddress(ctx, kubeconfig)
	if err != nil {
		klog.Infof("No control probes: %v", err)
	}
	return probe.Control{Address: address, Interval: interval}
}

// startEngine starts the engine and says how it will probe.
func startEngine(config Config, control probe.Control) (*probe.Engine, error) {
	settings := config.engine()
	settings.Control = control
	engine, err := probe.New(settings)
	if err != nil {
		return nil, err
	}

	schedule := engine.Schedule()
	klog.Infof("Probing by mode %s (%s): every %s before the trigger; "+
		"after it every %v of the time since then, at least %s apart; at most %.0f probes a second",
		engine.Mode, engine.Reason, schedule.BaseInterval, schedule.RelativeStep,
		schedule.MinInterval, schedule.MaxRate)
	for _, warning := range engine.Warnings {
		klog.Warning(warning)
	}

	return engine, nil
}

// run serves what it measures until the context ends, or the measurement does with ExitWhenDone.
func (e *environment) run(ctx context.Context, listener net.Listener) error {
	routes, err := handler(e.metrics, e.results, e.progress)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		klog.Infof("Starting HTTP server on %q.", fmt.Sprintf(":%d", e.config.MetricsPort))
		return serve(ctx, listener, routes)
	})
	group.Go(func() error {
		defer cancelIf(e.config.ExitWhenDone, cancel)
		return e.measure(ctx)
	})

	return group.Wait()
}

func cancelIf(condition bool, cancel context.CancelFunc) {
	if condition {
		cancel()
	}
}

// measure runs the scenario, accounts for it and idles, unless it is to exit when done.
func (e *environment) measure(ctx context.Context) error {
	klog.Infof("Starting to measure %s", e.scenario.measures)
	err := e.scenario.run(ctx, e)
	account := e.results.Account()
	if wrong := account.Check(); wrong != nil {
		return wrong
	}

	e.ready() // a run that is over has missed nothing
	e.progress.concluded.send()
	e.conclude(account)
	if e.config.ExitWhenDone {
		if !account.AllMeasured() || account.Expected < e.config.ExpectedTargets {
			return fmt.Errorf("%w: %s", errNotAllMeasured, account)
		}
		return nil
	}
	if err == nil {
		e.idle()
		<-ctx.Done()
	}

	return nil
}

// idle says once that there is nothing to do but to wait, for scripts that wait for that.
func (e *environment) idle() {
	if !e.config.ExitWhenDone {
		e.idling.Do(func() { klog.Info("Going into idle state") })
	}
}

// conclude logs the account and the latencies.
func (e *environment) conclude(account measure.Account) {
	klog.Infof("Targets: %s", account)
	if account.Expected < e.config.ExpectedTargets {
		klog.Warningf("Only %d of %d expected targets came", account.Expected,
			e.config.ExpectedTargets)
	}

	summary := measure.Summarize(e.scenario.Name, e.results.Samples())
	exactly := func(q float64) string { // logs keep every digit
		found := summary.Quantile(q)
		return found.Censored.String() + found.Value.String()
	}
	if len(summary.Latency) > 0 {
		klog.Infof("Latency: p50 %s, p90 %s, p99 %s, max %s; resolution: p50 %s, max %s",
			exactly(.5), exactly(.9), exactly(.99), exactly(1),
			summary.Resolution.Quantile(.5), summary.Resolution.Quantile(1))
	}

	for _, warning := range summary.Warnings {
		klog.Warning(warning)
	}
}

// describe lists the settings, one line each, as the original logs them.
func (c Config) describe(scenario Scenario) []string {
	lines := []string{
		"--HostNamespace=" + c.ClientNamespace,
		fmt.Sprintf("--MaxTargets=%d", c.MaxTargets),
		fmt.Sprintf("--MetricsPort=%d", c.MetricsPort),
		"--TargetLabelSelector=" + c.TargetSelector,
		"--TargetNamespace=" + c.TargetNamespace,
		fmt.Sprintf("--TargetPort=%d", c.TargetPort),
		fmt.Sprintf(
			"--probe=%s --probe-interval=%s --probe-timeout=%s "+
				"--confirm=%d --hold=%s --tolerate-losses=%d",
			c.Probe,
			c.ProbeInterval,
			c.ProbeTimeout,
			c.Confirm,
			c.Hold,
			c.TolerateLosses,
		),
	}

	if scenario.needsPolicy {
		lines = append([]string{"--AllowPolicyName=" + c.AllowPolicyName}, lines...)
	}

	return lines
}
