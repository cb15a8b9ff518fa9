// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// Config says what a client measures and how.
type Config struct {
	// ClientNamespace is the namespace that the test client pods run in.
	ClientNamespace string
	// TargetSelector is the label selector of the pods to probe, and TargetNamespace their
	// namespace.
	TargetSelector  string
	TargetNamespace string
	// TargetPort is the TCP port to probe.
	TargetPort int
	// MaxTargets is the most pods to probe.
	MaxTargets int
	// MetricsPort is where /metrics, /healthz and /samples are served.
	MetricsPort int
	// AllowPolicyName is the policy in ClientNamespace whose creation is the trigger of
	// policy-creation.
	AllowPolicyName string
	// Kubeconfig is a file that names the API server; empty inside a cluster.
	Kubeconfig string
	// ExitWhenDone ends the process when every target has a result, instead of idling.
	ExitWhenDone bool
	// TargetTimeout is how long a target may take before it is given up; zero is for ever.
	TargetTimeout time.Duration
	// ExpectedTargets is how many targets of policy-creation there will be, zero if nobody knows.
	// Without it a client cannot tell a target that is late from one that does not exist.
	ExpectedTargets int
	// Probe is how to probe, and so what counts as reached.
	Probe probe.Mode
	// ProbeInterval is the time between two probes of one target before the trigger. After it, the
	// interval is RelativeResolution of the time since then, but not less than ProbeIntervalMin.
	ProbeInterval      time.Duration
	ProbeIntervalMin   time.Duration
	RelativeResolution float64
	// ProbeTimeout is the longest wait of a probe for its answer.
	ProbeTimeout time.Duration
	// MaxProbeRate is the most probes a second for all targets together; zero is the mode's own.
	MaxProbeRate float64
	// ConntrackShare is among how many clients the probes' part of a node's connection tracking
	// table is shared; zero is as one.
	ConntrackShare int
	// Confirm is how many probes in a row must agree, Hold how long a transition is watched then,
	// and TolerateLosses how many probes in a row may be lost without making a result wrong.
	Confirm        int
	Hold           time.Duration
	TolerateLosses int
}

// DefaultConfig holds the defaults of every setting that has one.
func DefaultConfig() Config {
	schedule := probe.DefaultSchedule(probe.HTTP)
	return Config{
		MaxTargets:         100,
		MetricsPort:        9154,
		Probe:              probe.HTTP,
		ProbeInterval:      schedule.BaseInterval,
		ProbeIntervalMin:   schedule.MinInterval,
		RelativeResolution: schedule.RelativeStep,
		ProbeTimeout:       probe.DefaultTimeout,
		Confirm:            measure.DefaultConfirm,
	}
}

// engine is how the settings say to probe.
func (c Config) engine() probe.Config {
	schedule := probe.Schedule{
		BaseInterval: c.ProbeInterval, MinInterval: c.ProbeIntervalMin,
		RelativeStep: c.RelativeResolution, MaxRate: c.MaxProbeRate,
	}
	return probe.Config{
		Mode: c.Probe, Schedule: schedule, Timeout: c.ProbeTimeout, Paced: true,
		ConntrackEntries: probe.ConntrackBudget(c.ConntrackShare, 0),
	}
}

// rules are how much evidence a transition takes.
func (c Config) rules() measure.Rules {
	return measure.Rules{Confirm: c.Confirm, Hold: c.Hold, Losses: c.TolerateLosses}
}

// Validate reports every mistake at once.
func (c Config) Validate(scenario Scenario) error {
	return errors.Join(
		namespace("HostNamespace", "the namespace of the test client pods", c.ClientNamespace),
		c.validateSelector(),
		namespace("TargetNamespace", "the namespace of the target pods", c.TargetNamespace),
		port("TargetPort", "the port of the target pods", c.TargetPort),
		c.validatePolicy(scenario),
		inRange("MaxTargets", c.MaxTargets > 0, c.MaxTargets, "1 or more"),
		port("MetricsPort", "the port to serve metrics on", c.MetricsPort),
		inRange("target-timeout", c.TargetTimeout >= 0, c.TargetTimeout, "0 (no limit) or more"),
		c.validateExpected(scenario),
		inRange("probe", c.Probe != probe.Established, c.Probe,
			"another mode: there is no connection to a target before its trigger"),
		c.ValidateProbing(),
	)
}

// ValidateProbing reports every mistake in how to probe.
func (c Config) ValidateProbing() error {
	flags := map[string]string{
		probe.ValueInterval: "probe-interval", probe.ValueMinInterval: "probe-interval-min",
		probe.ValueResolution: "relative-resolution", probe.ValueTimeout: "probe-timeout",
		probe.ValueMaxRate: "max-probe-rate",
	}
	var mistakes []error
	for _, one := range c.engine().OutOfRange() {
		mistakes = append(mistakes, inRange(flags[one.Name], false, one.Value, one.Want))
	}

	return errors.Join(append(mistakes,
		inRange("confirm", c.Confirm > 0, c.Confirm, "1 or more"),
		inRange("hold", c.Hold >= 0, c.Hold, "0 or more"),
		inRange("tolerate-losses", c.TolerateLosses >= 0 && c.TolerateLosses <= measure.MaxLosses,
			c.TolerateLosses, fmt.Sprintf("0 to %d", measure.MaxLosses)),
	)...)
}

// ValidateTime reports settings by which one of so many pairs, which this process probes together,
// could not show a transition within a time, be it the instant of the trigger.
func (c Config) ValidateTime(pairs int, within time.Duration) error {
	schedule := c.engine().Schedule
	if schedule.MaxRate == 0 {
		schedule.MaxRate = c.Probe.DefaultMaxRate(probe.MinProcs)
	}

	var confirmed time.Duration
	for range c.Confirm {
		confirmed += schedule.After(confirmed, pairs)
	}
	if max(confirmed, c.Hold) < within {
		return nil
	}

	return fmt.Errorf("--timeout %s is too short to confirm a change: --confirm %d probes of a "+
		"pair, of which there are %d at %g probes a second, take %s, and --hold is %s: expected "+
		"a longer --timeout, or less of these", within, c.Confirm, pairs, schedule.MaxRate,
		confirmed.Round(time.Millisecond), c.Hold)
}

func (c Config) validateSelector() error {
	if c.TargetSelector == "" {
		return errors.New(
			`-TargetLabelSelector is missing: expected the label selector of the target pods, ` +
				`for example "app=web"`,
		)
	}

	if _, err := labels.Parse(c.TargetSelector); err != nil {
		return fmt.Errorf(
			`-TargetLabelSelector %q is not a label selector: expected for example "app=web": %w`,
			c.TargetSelector,
			err,
		)
	}

	return nil
}

func (c Config) validatePolicy(scenario Scenario) error {
	if !scenario.needsPolicy {
		return nil
	}
	if c.AllowPolicyName == "" {
		return errors.New(
			"-AllowPolicyName is missing: expected the name of the network policy in the " +
				"client's namespace whose creation allows the traffic",
		)
	}

	if problems := validation.IsDNS1123Subdomain(c.AllowPolicyName); len(problems) > 0 {
		return fmt.Errorf("-AllowPolicyName %q is not an object name: %s", c.AllowPolicyName,
			problems[0])
	}

	return nil
}

func (c Config) validateExpected(scenario Scenario) error {
	if c.ExpectedTargets != 0 && !scenario.needsPolicy {
		return errors.New(
			"--expected-targets is for policy creation: expected -MaxTargets, " +
				"which ends a run of new pods",
		)
	}
	return inRange("expected-targets", c.ExpectedTargets >= 0 && c.ExpectedTargets <= c.MaxTargets,
		c.ExpectedTargets, fmt.Sprintf("0 (unknown) to -MaxTargets, %d", c.MaxTargets))
}

func namespace(flag, what, value string) error {
	if value == "" {
		return fmt.Errorf("-%s is missing: expected %s", flag, what)
	}
	if problems := validation.IsDNS1123Label(value); len(problems) > 0 {
		return fmt.Errorf("-%s %q is not a namespace name: %s", flag, value, problems[0])
	}
	return nil
}

func port(flag, what string, value int) error {
	if value == 0 {
		return fmt.Errorf("-%s is missing: expected %s, from 1 to 65535", flag, what)
	}
	if value < 1 || value > 65535 {
		return fmt.Errorf("-%s %d is not a port: expected %s, from 1 to 65535", flag, value, what)
	}
	return nil
}

func inRange(flag string, ok bool, value any, expected string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("--%s %v is out of range: expected %s", flag, value, expected)
}
