// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/netpol-latency/netpol-latency/internal/agent"
	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/overlay"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/suite"
)

// task is one scenario and how it is to be run.
type task struct {
	scenario scenario.Scenario
	options  runner.Options
	// own are the objects of a change of the user's own, nil for another scenario.
	own *runner.Own
}

// tasks are the scenarios that the arguments name, those of the suite, or the user's own.
func (o *runOptions) tasks(names []string) ([]task, error) {
	switch {
	case o.Settings.Own.Policy != "":
		one, err := o.customTask(o.Settings, 0, here)
		if len(names) > 0 || o.suite != "" {
			err = errors.Join(err, errors.New("--policy is a scenario of its own: expected "+
				"neither scenarios nor --config with it"))
		}
		return []task{one}, err
	case o.suite != "" && len(names) > 0:
		return nil,
			fmt.Errorf("--config says what to run: expected no other scenario, such as %q",
				names[0])
	case o.suite != "":
		return o.suiteTasks()
	case len(o.set) > 0:
		return nil, errors.New("--set is about a suite: expected --config with it")
	}

	if len(names) == 0 {
		names = scenario.Defaults()
	}
	all := make([]task, len(names))
	mistakes := make([]error, len(names))
	for i, name := range names {
		one, err := scenario.Find(name)
		if err != nil {
			mistakes[i] = err
			continue
		}
		all[i], mistakes[i] = o.task(one, o.Settings, i)
	}
	return named(all), joinOnce(mistakes)
}

// named are the tasks whose scenario exists.
func named(tasks []task) []task {
	return slices.DeleteFunc(tasks, func(t task) bool { return t.scenario.Name == "" })
}

// joinOnce joins errors, each text once: what is wrong with the flags is wrong in every scenario.
func joinOnce(mistakes []error) error {
	var all []error
	var texts []string
	for _, err := range mistakes {
		for _, one := range each(err) {
			if !slices.Contains(texts, one.Error()) {
				all, texts = append(all, one), append(texts, one.Error())
			}
		}
	}
	return errors.Join(all...)
}

// checkSkip reports a part that is to be left out of a run that has not got its scenario.
func (o *runOptions) checkSkip(tasks []task) error {
	skip := o.Settings.Skip
	name, _, _ := strings.Cut(skip, "/")
	if skip == "" || slices.ContainsFunc(tasks, func(t task) bool {
		return t.scenario.Name == name
	}) {
		return nil
	}
	return fmt.Errorf("--skip %s leaves out nothing: expected scenario %s in this run", skip, name)
}

// each are the errors that were joined.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, each(one)...)
	}
	return all
}

// suiteTasks are the runs of the suite. What it does not say, the flags do.
func (o *runOptions) suiteTasks() ([]task, error) {
	content, err := readContent(o.suite, o.stdin)
	if err != nil {
		return nil, fmt.Errorf("read the suite: %w", err)
	}
	known := suite.Known{Settings: o.settings.table, Defaults: o.Settings}
	for _, one := range scenario.All() {
		known.Scenarios = append(known.Scenarios, one.Name)
	}
	known.Own = scenario.CustomName
	loaded, err := suite.Load(bytes.NewReader(content), o.suite, known)
	if err != nil {
		return nil, err
	}
	if err := suite.Set(&loaded, o.settings.table, o.set); err != nil {
		return nil, err
	}

	o.thresholds = append(o.thresholds, loaded.Thresholds...)
	all := make([]task, len(loaded.Runs))
	mistakes := make([]error, len(loaded.Runs))
	for i, run := range loaded.Runs {
		var err error
		if run.Scenario == scenario.CustomName {
			all[i], err = o.customTask(run.Settings, i, beside(o.suite))
		} else if one, wrong := scenario.Find(run.Scenario); wrong == nil {
			all[i], err = o.task(one, run.Settings, i)
		} else {
			err = wrong
		}
		if err != nil {
			mistakes[i] = fmt.Errorf("%s: runs[%d]: %w", o.suite, i, err)
		}
	}
	return all, errors.Join(mistakes...)
}

// task is a scenario with its settings, if it can be run with them. The number makes its names its
// own.
func (o *runOptions) task(
	s scenario.Scenario, settings setting.Settings, number int,
) (task, error) {
	options := o.Options
	options.Settings, options.Number = settings, number
	unread := readFiles(o.settings.table, &options.Settings)
	var wrong error
	if unread == nil {
		options.Overlay, wrong = overlay.Of(options.Settings)
	}
	err := errors.Join(options.Validate(s), unread, wrong)
	if err == nil {
		err = refusedByAgents(options, s)
	}
	options.Probe = options.Mode(s)
	options.Label = o.settings.table.Label(options.Settings)
	return task{scenario: s, options: options}, err
}

// refusedByAgents is what agents would refuse of what they are told, by what they refuse it with:
// it is to be known before there are any.
func refusedByAgents(options runner.Options, s scenario.Scenario) error {
	var told probing
	flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	told.add(flags)
	if err := flags.Parse(options.Probing(s)); err != nil {
		return err
	}

	config, err := told.finish()
	switch {
	case err != nil:
		return err
	case s.Kind == scenario.Inside:
		return errors.Join(config.ValidateTime(1, options.Timeout), agent.StartupConfig{
			Watch: options.Watch, Timeout: options.Timeout,
		}.Validate())
	}

	pairs := (options.Targets + options.Agents - 1) / options.Agents
	return config.ValidateTime(pairs, options.Timeout)
}

// readFiles replaces the names of files by what the files have, as JSON in one line.
func readFiles(table setting.Table, s *setting.Settings) error {
	var mistakes []error
	for _, field := range table {
		if text := field.Text(*s); field.File && text != "" {
			content, err := readPatch(text)
			if err != nil {
				mistakes = append(mistakes, field.Wrong(text, err))
				continue
			}
			field.With(s, string(content))
		}
	}
	return errors.Join(mistakes...)
}

// readPatch is a patch, or that in the file of the name.
func readPatch(text string) ([]byte, error) {
	if !strings.ContainsAny(text, "{:\n") { // as every object has, and hardly a file's name
		content, err := readContent(text, nil)
		if err != nil {
			return nil, fmt.Errorf("read the file: %w", err)
		}
		text = string(content)
	}
	return overlay.Compact(text)
}

// fitFamily has tasks use the address family that the cluster prefers, unless another one was asked
// for. One that the cluster does not have is an error.
func (o *runOptions) fitFamily(
	ctx context.Context, cluster *kube.Cluster, tasks []task,
) error {
	families, err := cluster.Families(ctx)
	if err != nil {
		return nil // who may not list nodes or pods learns of it from the run's own
	}

	for i := range tasks {
		options := &tasks[i].options
		family := &options.Family
		if !options.Given("family") && families.PrefersIPv6 {
			*family = setting.IPv6
			options.Label = o.settings.table.Label(options.Settings)
		}

		has := map[string]bool{setting.IPv4: families.IPv4, setting.IPv6: families.IPv6}
		if !has[*family] {
			return fmt.Errorf("probe over %s: the pods of this cluster have no such addresses: "+
				"expected the other --family", *family)
		}
	}
	return nil
}

// record is what run.json says about a task that is to be run.
func (t task) record(settings setting.Table) result.Scenario {
	return result.Scenario{
		Scenario: t.scenario.Name, Setting: t.options.Label,
		Settings: settings.Record(t.options.Settings),
		Planned:  runner.Iterations(t.options, t.scenario),
	}
}
