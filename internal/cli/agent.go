// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/netpol-latency/netpol-latency/internal/agent"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// indexVariable is where Kubernetes tells a pod of an Indexed Job its number.
const indexVariable = "JOB_COMPLETION_INDEX"

// probing are the flags that say how an agent probes.
type probing struct {
	mode     string
	interval time.Duration
	shortest time.Duration
	settings *settingFlags // those of a run that it tells its agents
	config   agent.Config
}

func (p *probing) add(f *pflag.FlagSet) {
	p.config, p.settings = agent.DefaultConfig(), newSettingFlags(setting.All().ForAgents())
	p.settings.add(f)
	f.StringVar(&p.mode, "probe", string(probe.Connect),
		"probe mode: connect, http, udp, sctp, syn, established\nor auto")
	f.DurationVar(&p.interval, "probe-interval", 0,
		"time between two probes of a pair before the trigger\n(default that of the mode)")
	f.DurationVar(&p.shortest, "probe-interval-min", 0,
		"shortest time between two probes of a pair after it\n(default that of the mode)")
	f.Float64Var(&p.config.RelativeResolution, "relative-resolution", p.config.RelativeResolution,
		"time between two probes of a pair after the trigger, as a\npart of the time since then")
	f.DurationVar(&p.config.ProbeTimeout, "probe-timeout", p.config.ProbeTimeout,
		fmt.Sprintf("longest wait of a probe, below %s", probe.MaxTimeout))
}

// finish chooses the defaults that depend on the mode.
func (p *probing) finish() (agent.Config, error) {
	mode, err := probe.ParseMode(p.mode)
	if err != nil {
		return agent.Config{}, fmt.Errorf("--probe %w", err)
	}

	schedule := probe.DefaultSchedule(mode)
	p.config.Probe, p.config.ProbeInterval, p.config.ProbeIntervalMin = mode, schedule.BaseInterval,
		schedule.MinInterval
	if p.interval > 0 {
		p.config.ProbeInterval = p.interval
	}

	if p.shortest > 0 {
		p.config.ProbeIntervalMin = p.shortest
	}

	s := p.settings.values
	p.config.Confirm, p.config.Hold = s.Confirm, s.Hold
	p.config.TolerateLosses, p.config.MaxProbeRate = s.TolerateLosses, s.ProbeRate
	return p.config, errors.Join(append(p.settings.mistakes, p.config.ValidateProbing())...)
}

func newAgent() *cobra.Command {
	var flags probing
	var config agent.RemoteConfig
	var namespace, targetNamespace, selector, kubeconfig string
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Probe inside a pod what a run asks for",
		Long: "The process that \"netpol-latency run\" starts in pods: it follows the plan in a " +
			"config map of\n" +
			"its namespace and writes what it finds to standard output, as numbered JSON Lines.",
		Example: "  netpol-latency agent --namespace clients --target-namespace servers \\\n" +
			"    --target-selector netpol-latency/role=target --index 0 --agents 1",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			probing, err := flags.finish()
			if err != nil {
				return err
			}
			config.Config = probing
			config.ClientNamespace, config.TargetNamespace = namespace, targetNamespace
			config.TargetSelector, config.Kubeconfig = selector, kubeconfig
			if config.Index < 0 || config.Agents < 1 || config.Index >= config.Agents {
				return fmt.Errorf("--index %d of --agents %d: expected a number from 0 to one "+
					"less than the agents",
					config.Index, config.Agents)
			}
			if text := os.Getenv(agent.SkewVariable); text != "" {
				if err := json.Unmarshal([]byte(text), &config.Skew); err != nil {
					return fmt.Errorf("read $%s: %w", agent.SkewVariable, err)
				}
			}
			return agent.RunRemote(cmd.Context(), config, cmd.OutOrStdout())
		},
	}

	f := cmd.Flags()
	flags.add(f)
	f.StringVar(&namespace, "namespace", "", "namespace of the plan")
	f.StringVar(&targetNamespace, "target-namespace", "", "namespace of the targets")
	f.StringVar(&selector, "target-selector", "", "label selector of the targets")
	f.IntVar(&config.Index, "index", index(), "number of this agent (default $"+indexVariable+")")
	f.IntVar(&config.Agents, "agents", 1, "number of all agents")
	f.BoolVar(&config.OpenConnections, "open-connections", false,
		"keep connections open for pairs that are such, too")
	f.StringVar(&config.Plan, "plan", agent.DefaultPlan, "name of the config map with the plan")
	f.StringVar(&config.Pod, "pod", os.Getenv(runner.PodVariable),
		"name of this agent's pod (default $"+runner.PodVariable+")")
	f.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file, outside of a cluster")
	for _, name := range []string{"namespace", "target-namespace", "target-selector"} {
		_ = cmd.MarkFlagRequired(name) // it exists
	}

	offer(cmd, "probe", modes(probe.Modes()...)...)
	offerFiles(cmd, "kubeconfig")
	offerFunc(cmd, "namespace", namespacesIn(&kubeconfig))
	offerFunc(cmd, "target-namespace", namespacesIn(&kubeconfig))
	cmd.AddCommand(newStartup())
	return cmd
}

// index is the pod's number in an Indexed Job, 0 elsewhere.
func index() int {
	number, err := strconv.Atoi(os.Getenv(indexVariable))
	if err != nil {
		return 0
	}
	return number
}

func newStartup() *cobra.Command {
	began := time.Now()
	var flags probing
	config := agent.StartupConfig{}
	var allowed, forbidden []string
	cmd := &cobra.Command{
		Use:   "startup",
		Short: "Probe from the first instant of a pod",
		Long: "What the scenario pod-startup runs in new pods: it probes from its first instant " +
			"until everything\n" +
			"that is allowed was reached, and writes what it finds as numbered JSON Lines.",
		Example: "  netpol-latency agent startup --allowed 10.0.0.8:80 --forbidden 10.0.0.9:80 " +
			"--watch 1s",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			probing, err := flags.finish()
			if err != nil {
				return err
			}
			config.Config, config.Index = probing, index()
			var wrong error
			config.Allowed, err = endpoints("allowed", allowed)
			config.Forbidden, wrong = endpoints("forbidden", forbidden)
			if err := errors.Join(err, wrong, config.Validate()); err != nil {
				return err
			}
			return agent.RunStartup(cmd.Context(), config, began, cmd.OutOrStdout())
		},
	}

	f := cmd.Flags()
	flags.add(f)
	f.StringVar(&config.Scenario, "scenario", "pod-startup", "name in the samples")
	f.StringSliceVar(&allowed, "allowed", nil, "address:port that policy allows (repeatable)")
	f.StringSliceVar(&forbidden, "forbidden", nil, "address:port that policy forbids (repeatable)")
	f.DurationVar(&config.Watch, "watch", setting.DefaultWatch, "how long to probe at least")
	f.DurationVar(&config.Timeout, "timeout", setting.DefaultTimeout, "how long to probe at most")
	f.IntVar(&flags.config.ConntrackShare, "conntrack-share", 1,
		"by how many such processes the probes' part of the node's\nconnection tracking table is "+
			"shared")
	offer(cmd, "probe", modes(probe.Modes()...)...)
	offer(cmd, "scenario", "pod-startup")
	return cmd
}

func endpoints(flag string, texts []string) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for _, text := range texts {
		one, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, fmt.Errorf("--%s %q: expected an address and a port, for example "+
				"10.0.0.8:80", flag, text)
		}
		all = append(all, one)
	}
	return all, nil
}

func newServe() *cobra.Command {
	var ports agent.Ports
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve as a target: an HTTP server, a UDP echo and SCTP associations",
		Long: "What \"netpol-latency run\" starts as targets: each TCP port answers HTTP, each " +
			"UDP port sends\n" +
			"back what it gets, each SCTP port takes associations.",
		Example: "  netpol-latency serve --tcp 8080,8081 --udp 8080",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return agent.ServeTarget(cmd.Context(), ports)
		},
	}

	cmd.Flags().IntSliceVar(&ports.TCP, "tcp", []int{8080}, "TCP ports")
	cmd.Flags().IntSliceVar(&ports.UDP, "udp", nil, "UDP ports")
	cmd.Flags().IntSliceVar(&ports.SCTP, "sctp", nil, "SCTP ports")
	return cmd
}
