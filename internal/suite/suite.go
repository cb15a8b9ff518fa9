// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Suite is a number of runs and the limits of their results. Its form in YAML is a file that can be loaded.
type Suite struct {
	Runs []Run `yaml:"runs"`
	// Thresholds are texts that [measure.ParseThreshold] can read, each about a scenario of the runs.
	Thresholds []string `yaml:"thresholds,omitempty"`
}

// Run is one scenario and how to run it. A setting that is zero was not said.
type Run struct {
	Scenario  string `yaml:"scenario"`
	Direction string `yaml:"direction,omitempty"`
	Family    string `yaml:"family,omitempty"`
	Peer      string `yaml:"peer,omitempty"`
	Port      string `yaml:"port,omitempty"`
	Protocol  string `yaml:"protocol,omitempty"`
	// Targets is the number of targets, Agents that of the pods that probe them, Repeat how often the scenario is
	// played.
	Targets int `yaml:"targets,omitempty"`
	Agents  int `yaml:"agents,omitempty"`
	Repeat  int `yaml:"repeat,omitempty"`
	// Timeout is how long a change may take to show on all pairs.
	Timeout   time.Duration `yaml:"timeout,omitempty"`
	Placement string        `yaml:"placement,omitempty"`
	// Baseline leaves the policies away.
	Baseline bool `yaml:"baseline,omitempty"`
}

// Load reads a suite to the end of r. The name is that of the file, for the messages; scenarios are the names that
// a run may have. The error joins all mistakes, in the order of the file, each as FILE:LINE:COLUMN: message.
func Load(r io.Reader, name string, scenarios []string) (Suite, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return Suite{}, fmt.Errorf("read suite %s: %w", name, err)
	}
	f := &file{name: name}
	var suite Suite
	if root := f.parse(content); root != nil {
		suite = f.suite(root, scenarios)
	}
	if err := f.err(); err != nil {
		return Suite{}, err
	}
	return suite, nil
}

// suite reads the whole file.
func (f *file) suite(root *yaml.Node, scenarios []string) Suite {
	settings := settings()
	var (
		defaults         Run
		runs, thresholds entry
	)
	for _, one := range f.mapping(root, "the suite", append([]string{"runs", "thresholds"}, keys(settings)...)) {
		switch one.key.Value {
		case "runs":
			runs = one
		case "thresholds":
			thresholds = one
		default:
			f.set(settings, &defaults, one)
		}
	}
	if runs.key == nil {
		if resolved(root).Kind == yaml.MappingNode {
			f.mistake(root, "the suite has no runs: expected a list, for example runs: [{scenario: policy-deny}]")
		}
		return Suite{}
	}
	suite := Suite{Runs: f.runs(runs, append([]field{scenario(scenarios)}, settings...), defaults)}
	if thresholds.key != nil {
		suite.Thresholds = f.thresholds(thresholds, suite.Runs)
	}
	return suite
}

// runs reads the list of runs.
func (f *file) runs(from entry, fields []field, defaults Run) []Run {
	nodes := f.list(from)
	if len(nodes) == 0 && resolved(from.value).Kind == yaml.SequenceNode {
		f.mistake(from.value, "runs is empty: expected at least one, for example runs: [{scenario: policy-deny}]")
	}
	var all []Run
	for _, node := range nodes {
		all = append(all, f.run(node, fields, defaults))
	}
	return all
}

// run reads one run over the defaults.
func (f *file) run(node *yaml.Node, fields []field, defaults Run) Run {
	run := defaults
	entries := f.mapping(node, "a run", keys(fields))
	for _, one := range entries {
		f.set(fields, &run, one)
	}
	named := slices.ContainsFunc(entries, func(e entry) bool { return e.key.Value == fields[0].key })
	if !named && resolved(node).Kind == yaml.MappingNode {
		f.mistake(node, "a run has no scenario: expected %s", fields[0].want)
	}
	return run
}

// set reads one setting of a run.
func (f *file) set(fields []field, run *Run, one entry) {
	at := slices.IndexFunc(fields, func(field field) bool { return field.key == one.key.Value })
	if err := fields[at].read(run, one.value); err != nil {
		f.mistake(one.place(), "%v", err)
	}
}

// thresholds reads the limits, each of which is about a scenario of the runs.
func (f *file) thresholds(from entry, runs []Run) []string {
	var all, names []string
	for _, run := range runs {
		if run.Scenario != "" && !slices.Contains(names, run.Scenario) {
			names = append(names, run.Scenario)
		}
	}
	for _, node := range f.list(from) {
		if kind := resolved(node).Kind; kind != yaml.ScalarNode {
			f.mistake(node, "a threshold is %s: expected a text, for example policy-deny.p99<500ms", kindName(kind))
			continue
		}
		threshold, err := measure.ParseThreshold(resolved(node).Value)
		scenario, _, _ := strings.Cut(threshold.Name(), "/")
		switch {
		case err != nil:
			f.mistake(node, "%v", err)
		case len(names) > 0 && !slices.Contains(names, scenario):
			f.mistake(node, "threshold %q is about no run of this suite: expected one of %s",
				threshold, strings.Join(names, ", "))
		}
		all = append(all, threshold.String())
	}
	return all
}
