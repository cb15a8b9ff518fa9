// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/netpol-latency/netpol-latency/lab/internal/engine"
	"github.com/netpol-latency/netpol-latency/lab/internal/external"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/oci"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
	"github.com/netpol-latency/netpol-latency/lab/internal/topology"
)

// labFlags are the flags of the commands that start a lab.
type labFlags struct {
	dir         string
	engine      string
	settings    engine.Settings
	images      []string
	env         []string
	nodes       int
	family      string
	runnerDelay time.Duration
	verdicts    int
	witness     bool
	interfaces  string
	logSize     int64
	logStall    bool
}

func (f *labFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.engine, "engine", supervisor.EngineReference,
		"policy engine: reference, queue (see --verdicts),\n"+
			strings.Join(external.Names(), ", ")+",\n"+external.Command+
			"COMMAND, or none")
	flags.BoolVar(&f.witness, "witness", false,
		"write down each commit of nftables that the kernel announces")
	flags.StringVar(&f.interfaces, "interface-names", "",
		"prefix of pods' interfaces on the node, before a hash of\nnamespace.pod: cali, eni")
	flags.StringArrayVar(&f.images, "image", nil,
		"NAME=PATH or NAME=oci:DIR[:TAG]: images of that name are the\n"+
			"local program PATH, or that of an OCI layout (repeatable)")
	flags.StringArrayVar(&f.env, "env", nil,
		"NAME=VALUE: environment variable of every container\n(repeatable)")
	flags.IntVar(&f.nodes, "nodes", 1, "number of nodes")
	flags.StringVar(&f.family, "family", string(topology.Dual),
		"IP families of nodes, pods and services:\ndual, IPv4 or IPv6")
	flags.DurationVar(&f.runnerDelay, "runner-delay", 0,
		"round trip between the host and the API server")
	flags.IntVar(&f.verdicts, "verdicts", 0,
		"packets that --engine queue filters in user space, per second")
	flags.Int64Var(&f.logSize, "log-size", 0,
		"bytes after which a container's log is rotated, as by a\nkubelet (0: never)")
	flags.BoolVar(&f.logStall, "log-stall", false,
		"who follows a log does not notice its rotation: kubelets\nbefore 1.27")
	addSettings(flags, &f.settings)
}

// addSettings adds the flags of the reference engine.
func addSettings(flags *pflag.FlagSet, s *engine.Settings) {
	flags.DurationVar(&s.Delay, "delay", 0, "time from an event to the start of its enforcement")
	flags.DurationVar(&s.Jitter, "jitter", 0, "random time on top of --delay, from 0 to this")
	flags.IntVar(&s.Batch, "batch", 0, "most changed elements in one transaction (0: no limit)")
	flags.DurationVar(&s.Gap, "gap", 0, "pause between two transactions of a batch")
	flags.StringVar((*string)(&s.Reject), "reject", "",
		"answer what is denied: reset or icmp (default: drop silently)")
	flags.Var(&faultFlag{to: &s.Faults}, "fault",
		"NAME[=VALUE],...: what to do wrong (repeatable)")
}

// options are the flags as the supervisor takes them.
func (f *labFlags) options() (supervisor.Options, error) {
	options := supervisor.Options{Nodes: f.nodes, Family: topology.Family(f.family),
		Engine: f.engine, Settings: f.settings,
		Witness: f.witness, InterfaceNames: f.interfaces,
		Verdicts: f.verdicts, RunnerDelay: f.runnerDelay, Env: f.env,
		LogSize: f.logSize, LogStall: f.logStall}
	images, err := supervisor.OwnImages()
	if err != nil {
		return options, err
	}

	given, err := parseImages(f.images)
	if err != nil {
		return options, err
	}
	maps.Copy(images, given)
	options.Images = images
	if f.dir == "" {
		return options, nil
	}

	absolute, err := filepath.Abs(f.dir)
	if err != nil {
		return options, fmt.Errorf("use --dir %q: %w", f.dir, err)
	}
	options.Dir = layout.Dir(absolute)
	return options, nil
}

func parseImages(pairs []string) (map[string]string, error) {
	images := make(map[string]string)
	for _, pair := range pairs {
		name, path, ok := strings.Cut(pair, "=")
		if !ok || name == "" || path == "" {
			return nil, fmt.Errorf("--image %q: expected NAME=PATH, for example "+
				"prometheus=/usr/bin/prometheus, "+
				"or NAME=oci:DIR, for example client=oci:./layout", pair)
		}

		reference, isLayout, err := oci.Parse(path)
		if err != nil {
			return nil, fmt.Errorf("--image %q: %w", pair, err)
		}
		if isLayout {
			images[name] = reference.String()
			continue
		}

		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("--image %q: %w", pair, err)
		}
		images[name] = absolute
	}

	return images, nil
}
