// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Suite is a number of runs and the limits of their results.
type Suite struct {
	Runs []Run
	// Thresholds are texts that [measure.ParseThreshold] can read, each about a scenario of the
	// runs.
	Thresholds []string
}

// Run is one scenario and how to run it.
type Run struct {
	Scenario string
	Settings setting.Settings
}

// Known is what a suite may name: scenarios and settings, and the settings' values where it says
// nothing.
type Known struct {
	Scenarios []string
	// Own is the scenario of a run that has a policy of the user's own instead of one of these.
	Own      string
	Settings setting.Table
	Defaults setting.Settings
}

// Load reads a suite to the end of r. The name is that of the file, for the messages. The error
// joins all mistakes, in the order of the file, each as FILE:LINE:COLUMN: message.
func Load(r io.Reader, name string, known Known) (Suite, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return Suite{}, fmt.Errorf("read suite %s: %w", name, err)
	}

	f := &file{name: name, known: known}
	var suite Suite
	if root := f.parse(content); root != nil {
		suite = f.suite(root)
	}

	if err := f.err(); err != nil {
		return Suite{}, err
	}

	return suite, nil
}

// suite reads the whole file.
func (f *file) suite(root *yaml.Node) Suite {
	var runs, thresholds entry
	defaults := f.known.Defaults

	names := append([]string{"runs", "thresholds"}, f.known.Settings.Names()...)
	for _, one := range f.mapping(root, "the suite", names) {
		switch one.key.Value {
		case "runs":
			runs = one
		case "thresholds":
			thresholds = one
		default:
			f.set(&defaults, one)
		}
	}

	if runs.key == nil {
		if resolved(root).Kind == yaml.MappingNode {
			f.mistake(root, "the suite has no runs: expected a list, for example runs: "+
				"[{scenario: policy-deny}]")
		}
		return Suite{}
	}
	suite := Suite{Runs: f.runs(runs, defaults)}
	if thresholds.key != nil {
		suite.Thresholds = f.thresholds(thresholds, suite.Runs)
	}
	return suite
}

// runs reads the list of runs.
func (f *file) runs(from entry, defaults setting.Settings) []Run {
	nodes := f.list(from)
	if len(nodes) == 0 && resolved(from.value).Kind == yaml.SequenceNode {
		f.mistake(from.value, "runs is empty: expected at least one, for example runs: "+
			"[{scenario: policy-deny}]")
	}
	var all []Run
	for _, node := range nodes {
		all = append(all, f.run(node, defaults))
	}
	return all
}

// run reads one run over the defaults.
func (f *file) run(node *yaml.Node, defaults setting.Settings) Run {
	run := Run{Settings: defaults}
	named := false
	names := append([]string{"scenario"}, f.known.Settings.Names()...)
	for _, one := range f.mapping(node, "a run", names) {
		if one.key.Value != "scenario" {
			f.set(&run.Settings, one)
			continue
		}
		named = true
		f.value(one, f.scenarios(), func(text string) error {
			run.Scenario = text // a wrong one too, so that what refers to it is not wrong as well
			return setting.OneOf("scenario", text, f.known.Scenarios...)
		})
	}

	own := run.Settings.Own.Policy != ""
	switch {
	case resolved(node).Kind != yaml.MappingNode:
	case named && own:
		f.mistake(node, "a run has a scenario and a policy: expected one of both")
	case own:
		run.Scenario = f.known.Own
	case !named:
		f.mistake(node, "a run has no scenario: expected %s", f.scenarios())
	}

	return run
}

func (f *file) scenarios() string { return "one of " + strings.Join(f.known.Scenarios, ", ") }

// set reads one setting.
func (f *file) set(to *setting.Settings, one entry) {
	field, err := f.known.Settings.Find(one.key.Value)
	if err != nil {
		f.mistake(one.key, "%v", err)
		return
	}
	f.value(one, field.Expected(), func(text string) error { return field.Parse(to, text) })
}

// value reads a single value: its text, in quotes or not.
func (f *file) value(one entry, expected string, read func(text string) error) {
	value := resolved(one.value)
	if value.Kind != yaml.ScalarNode {
		f.mistake(one.place(), "%s is %s: expected %s",
			one.key.Value, kindName(value.Kind), expected)
		return
	}
	if err := read(value.Value); err != nil {
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
			f.mistake(node, "a threshold is %s: expected a text, for example policy-deny.p99<500ms",
				kindName(kind))
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
