// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// option is one setting of the command line. Its first name is the one that help and messages use.
type option struct {
	names []string
	value string // what the value looks like; empty for a switch
	usage string
	set   func(text string) error
}

// options are the settings in the order of the help text. The first seven are the original's, under
// the names that its flags have, that its documentation has, and in kebab case.
func options(c *Config) []option {
	return []option{
		{[]string{"HostNamespace", "testClientNamespace", "host-namespace",
			"test-client-namespace"},
			"NAME", "namespace of the test client pods (mandatory)", text(&c.ClientNamespace)},
		{[]string{"TargetLabelSelector", "targetLabelSelector", "target-label-selector"},
			"SELECTOR", "label selector of the target pods (mandatory)", text(&c.TargetSelector)},
		{[]string{"TargetNamespace", "targetNamespace", "target-namespace"},
			"NAME", "namespace of the target pods (mandatory)", text(&c.TargetNamespace)},
		{[]string{"TargetPort", "targetPort", "target-port"},
			"PORT", "TCP port of the target pods (mandatory)", integer(&c.TargetPort)},
		{[]string{"MaxTargets", "maxTargets", "max-targets"},
			"N", "most target pods to probe", integer(&c.MaxTargets)},
		{[]string{"MetricsPort", "metricsPort", "metrics-port"},
			"PORT", "port of /metrics, /healthz and /samples", integer(&c.MetricsPort)},
		{[]string{"AllowPolicyName", "allowPolicyName", "allow-policy-name"},
			"NAME", "network policy whose creation allows the traffic\n" +
				"(mandatory for policy creation)",
			text(&c.AllowPolicyName)},
		{[]string{"kubeconfig"},
			"FILE", "API server to use outside a cluster", text(&c.Kubeconfig)},
		{[]string{"exit-when-done"},
			"", "exit when every target has a result: with 0 if all were\n" +
				"measured, with 2 if not; without it the client idles", boolean(&c.ExitWhenDone)},
		{[]string{"target-timeout"}, "DURATION", "give a target up after this time; 0 is never",
			duration(&c.TargetTimeout)},
		{[]string{"expected-targets"},
			"N", "policy creation: how many targets there will be; /readyz waits until\n" +
				"all of them were seen denied, and the run does not end without\n" +
				"them; 0 is as many as come before the policy",
			integer(&c.ExpectedTargets)},
		{[]string{"probe"},
			"MODE", "how to probe: http, connect, udp, sctp, syn (needs NET_RAW)\n" +
				"or auto (syn or connect)",
			mode(&c.Probe)},
		{[]string{"probe-interval"},
			"DURATION", "time between two probes of one target before the trigger",
			duration(&c.ProbeInterval)},
		{[]string{"probe-interval-min"},
			"DURATION", "shortest time between two probes of one target after it",
			duration(&c.ProbeIntervalMin)},
		{[]string{"relative-resolution"},
			"PART", "time between two probes of one target after the trigger,\n" +
				"as a part of the time since then", number(&c.RelativeResolution)},
		{[]string{"probe-timeout"},
			"DURATION", fmt.Sprintf("longest wait of one probe for its connection, below %s",
				probe.MaxTimeout),
			duration(&c.ProbeTimeout)},
		{[]string{"max-probe-rate"}, "N", "most probes a second for all targets together;\n" +
			"the interval stretches to keep to it", number(&c.MaxProbeRate)},
		{[]string{"confirm"},
			"N", "probes in a row that must agree on a new state", integer(&c.Confirm)},
		{[]string{"hold"},
			"DURATION", "how long a target is watched after its transition", duration(&c.Hold)},
		{[]string{"tolerate-losses"},
			"N", "probes in a row that the network may lose without making\n" +
				"a result wrong; widens brackets by as many intervals", integer(&c.TolerateLosses)},
		{[]string{"success"},
			"KIND", "the same as --probe: any HTTP \"response\" is http, an open\n" +
				"TCP connection is \"connect\"", success(&c.Probe)},
	}
}

// errHelp says that help was asked for, and nothing else.
var errHelp = errors.New("help was asked for")

// errVersion is the same for the version. The original has no flag of that name.
var errVersion = errors.New("the version was asked for")

const versionUsage = "print the version, and do nothing else"

// ParseFlags reads the command line. All mistakes are reported together, in one error.
func ParseFlags(scenario Scenario, args []string) (Config, error) {
	config := DefaultConfig()
	flags := flag.NewFlagSet(scenario.Program, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, o := range options(&config) {
		for _, name := range o.names {
			if o.value == "" {
				flags.BoolFunc(name, o.usage, o.set)
			} else {
				flags.Func(name, o.usage, o.set)
			}
		}
	}

	asked := flags.Bool("version", false, versionUsage)
	mistakes, err := parseAll(flags, args)
	if err != nil {
		return Config{}, err
	}

	if *asked {
		return Config{}, errVersion
	}

	return config, errors.Join(append(mistakes, config.Validate(scenario))...)
}

// parseAll goes on after a mistake, so that the user sees all of them at once.
func parseAll(flags *flag.FlagSet, args []string) (mistakes []error, err error) {
	for len(args) > 0 {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return nil, errHelp
		}
		rest := flags.Args()
		if err != nil && len(rest) == len(args) {
			rest = rest[1:] // package flag does not step over what it cannot even split
		}
		args = rest
		switch {
		case err != nil:
			mistakes = append(mistakes, explain(err))
		case len(args) > 0:
			mistakes = append(mistakes,
				fmt.Errorf("unexpected argument %q: expected only flags", args[0]))
			args = args[1:]
		}
	}

	return mistakes, nil
}

// explain rewords what package flag says of a flag that does not exist.
func explain(err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: "); ok {
		return fmt.Errorf("unknown flag %s: --help lists the flags", name)
	}
	return err
}

func mode(to *probe.Mode) func(string) error {
	return func(s string) (err error) {
		*to, err = probe.ParseMode(strings.TrimSpace(s))
		return err
	}
}

// success is how the first versions chose between two modes.
func success(to *probe.Mode) func(string) error {
	return func(s string) error {
		switch s {
		case "response":
			*to = probe.HTTP
		case "connect":
			*to = probe.Connect
		default:
			return errors.New(`expected "response" or "connect"`)
		}
		return nil
	}
}

func text(to *string) func(string) error {
	return func(s string) error {
		*to = strings.TrimSpace(s)
		return nil
	}
}

func integer(to *int) func(string) error {
	return func(s string) error {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			return errors.New("expected a whole number, for example 80")
		}
		*to = n
		return nil
	}
}

func number(to *float64) func(string) error {
	return func(s string) error {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return errors.New("expected a number, for example 5000")
		}
		*to = n
		return nil
	}
}

func boolean(to *bool) func(string) error {
	return func(s string) error {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return errors.New("expected true or false")
		}
		*to = b
		return nil
	}
}

func duration(to *time.Duration) func(string) error {
	return func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil {
			return errors.New("expected a duration with a unit, for example 10ms or 5m")
		}
		*to = d
		return nil
	}
}

// defaultRates says how many probes a second the modes send at the most unless told otherwise.
func defaultRates() string {
	return fmt.Sprintf("http %g,\nconnect and udp %g, syn %g; "+
		"on fewer than %d processors\n%g for each of them, syn %g",
		probe.HTTP.DefaultMaxRate(probe.MinProcs), probe.Connect.DefaultMaxRate(probe.MinProcs),
		probe.SYN.DefaultMaxRate(probe.MinProcs), probe.MinProcs,
		probe.Connect.DefaultMaxRate(1), probe.SYN.DefaultMaxRate(1))
}

// help writes the help text.
func help(w io.Writer, scenario Scenario) error {
	defaults := DefaultConfig()
	shown := map[string]any{
		"MaxTargets": defaults.MaxTargets, "MetricsPort": defaults.MetricsPort,
		"target-timeout":   defaults.TargetTimeout,
		"expected-targets": defaults.ExpectedTargets,
		"probe-interval":   defaults.ProbeInterval,
		"probe-timeout":    defaults.ProbeTimeout, "max-probe-rate": defaultRates(),
		"probe": defaults.Probe, "probe-interval-min": defaults.ProbeIntervalMin,
		"relative-resolution": defaults.RelativeResolution,
		"confirm":             defaults.Confirm, "hold": defaults.Hold,
		"tolerate-losses": defaults.TolerateLosses,
	}

	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage:\n  %s FLAGS\n\nExample:\n  %s\n\nFlags:\n",
		scenario.Summary, scenario.Program, strings.Join(scenario.example(), " \\\n    "))
	for _, o := range options(&Config{}) {
		fmt.Fprintln(&b, strings.TrimRight("  -"+o.names[0]+" "+o.value, " "))
		usage := o.usage
		if value, ok := shown[o.names[0]]; ok {
			usage += fmt.Sprintf(" (default %v)", value)
		}
		if len(o.names) > 1 {
			usage += "\nalso -" + strings.Join(o.names[1:], ", -")
		}
		fmt.Fprintf(&b, "        %s\n", strings.ReplaceAll(usage, "\n", "\n        "))
	}

	fmt.Fprintf(&b, "  -version\n        %s\n", versionUsage)
	_, err := io.WriteString(w, b.String())
	return err
}
