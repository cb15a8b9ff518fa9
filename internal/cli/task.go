// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/suite"
)

// task is one scenario and how it is to be run.
type task struct {
	scenario scenario.Scenario
	options  runner.Options
}

// tasks are the scenarios that the arguments name, those of the suite, or the user's own.
func (o *runOptions) tasks(names []string) ([]task, error) {
	trigger, err := o.custom.trigger()
	switch {
	case err != nil:
		return nil, err
	case trigger != nil && (len(names) > 0 || o.suite != ""):
		return nil, errors.New("--policy is a scenario of its own: expected neither scenarios nor --config with it")
	case trigger != nil:
		o.Trigger = trigger
		return o.number([]task{{scenario.Custom("policy", *trigger), o.Options}}), nil
	case o.suite != "" && len(names) > 0:
		return nil, fmt.Errorf("--config says what to run: expected no scenario besides, such as %q", names[0])
	case o.suite != "":
		return o.suiteTasks()
	case len(o.set) > 0:
		return nil, errors.New("--set is about a suite: expected --config with it")
	}
	if len(names) == 0 {
		names = scenario.Defaults()
	}
	var all []task
	var mistakes []error
	for _, name := range names {
		one, err := scenario.Find(name)
		if err == nil {
			all = append(all, task{one, o.Options})
		}
		mistakes = append(mistakes, err)
	}
	return o.number(all), errors.Join(mistakes...)
}

// number gives every task its number, so that none needs a name that another has.
func (o *runOptions) number(tasks []task) []task {
	for i := range tasks {
		tasks[i].options.Number = i
	}
	return tasks
}

// suiteTasks are the runs of the suite. What it does not say, the flags do.
func (o *runOptions) suiteTasks() ([]task, error) {
	file, err := os.Open(o.suite)
	if err != nil {
		return nil, fmt.Errorf("read the suite: %w", err)
	}
	defer file.Close()
	var names []string
	for _, one := range scenario.All() {
		names = append(names, one.Name)
	}
	loaded, err := suite.Load(file, o.suite, names)
	if err != nil {
		return nil, err
	}
	if err := suite.Set(&loaded, o.set); err != nil {
		return nil, err
	}
	o.thresholds = append(o.thresholds, loaded.Thresholds...)
	var all []task
	var mistakes []error
	for _, run := range loaded.Runs {
		one, err := scenario.Find(run.Scenario)
		options := o.with(run)
		mistakes = append(mistakes, err, options.Validate())
		all = append(all, task{one, options})
	}
	return o.number(all), errors.Join(mistakes...)
}

// with is the options with what a run of a suite says.
func (o *runOptions) with(run suite.Run) runner.Options {
	options := o.Options
	options.Direction = cmp.Or(run.Direction, options.Direction)
	options.Family = cmp.Or(run.Family, options.Family)
	options.Peer = cmp.Or(run.Peer, options.Peer)
	options.Port = cmp.Or(run.Port, options.Port)
	options.Protocol = cmp.Or(run.Protocol, options.Protocol)
	options.Targets = cmp.Or(run.Targets, options.Targets)
	options.Agents = cmp.Or(run.Agents, options.Agents)
	options.Repeat = cmp.Or(run.Repeat, options.Repeat)
	options.Timeout = cmp.Or(run.Timeout, options.Timeout)
	options.Placement = cmp.Or(run.Placement, options.Placement)
	options.Baseline = run.Baseline || options.Baseline
	return options
}

// record is what run.json says about a task that was run.
func (t task) record(found runner.Found) result.Scenario {
	o := t.options
	return result.Scenario{
		Scenario: t.scenario.Name, Setting: o.Setting(), AgentNodes: found.AgentNodes, TargetNodes: found.TargetNodes,
		Settings: result.Settings{
			Direction: o.Direction, Protocol: o.Protocol, Family: o.Family, Peer: o.Peer, Port: o.Port,
			Baseline: o.Baseline, Targets: o.Targets, Agents: o.Agents, Repeat: o.Repeat, Placement: o.Placement,
			Probe: o.Mode(t.scenario), Timeout: o.Timeout,
		},
	}
}
