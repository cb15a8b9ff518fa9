// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// here is where the files are that the flags name, and beside where those are that another file
// names.
func here(path string) string { return path }

func beside(file string) func(string) string {
	return func(path string) string {
		if path == standardInput || isURL(path) || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(filepath.Dir(file), path)
	}
}

// customTask is a change of the user's own, of which the settings that nobody has given are open.
func (o *runOptions) customTask(
	settings setting.Settings, number int, where func(string) string,
) (task, error) {
	own := &runner.Own{}
	var mistakes []error
	for _, file := range []struct {
		flag, path string
		to         *[]*object
	}{
		{"policy", settings.Own.Policy, &own.Policy},
		{"before", settings.Own.Before, &own.Before},
		{"replace", settings.Own.Replace, &own.Replace},
	} {
		if file.path == "" {
			continue
		}
		objects, err := readObjects(where(file.path), o.stdin)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("read --%s %s: %w", file.flag, file.path, err))
		}
		*file.to = objects
	}

	one, err := o.task(scenario.Custom(scenario.Trigger{}), settings, number)
	one.own = own
	return one, errors.Join(append(mistakes, err)...)
}

// derive completes the changes of the user's own, and says what was read off their objects.
func (o *runOptions) derive(
	ctx context.Context, out io.Writer, cluster *kube.Cluster, tasks []task,
) error {
	for i, one := range tasks {
		if one.own == nil {
			continue
		}
		// A suite has several of them, and the mistakes of one should be told from another's.
		file := one.options.Settings.Own.Policy
		derived, err := runner.Derive(ctx, cluster, one.options, *one.own)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}

		completed, err := o.task(scenario.Custom(derived.Trigger), o.unprobed(derived.Settings),
			one.options.Number)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		completed.options.Trigger = &derived.Trigger
		tasks[i] = completed
		o.explain(out, file, one.options, derived)
	}
	return nil
}

// explain says what was read off a file, and which namespaces of the run stand for those that it
// names.
func (o *runOptions) explain(
	out io.Writer, file string, given runner.Options, derived scenario.Derived,
) {
	if derived.Source == "" {
		return
	}

	if flags := o.derivedFlags(given.Settings, derived.Settings); len(flags) > 0 {
		fmt.Fprintf(out, "%s: read off %s: %s\n", file, derived.Source, strings.Join(flags, " "))
	}
	if derived.Passed != "" {
		fmt.Fprintf(out, "%s: not measured: %s\n", file, visible.Line(derived.Passed))
	}
	if len(derived.LeftOut) > 0 {
		fmt.Fprintf(out, "%s: not created, as --namespace is for policies alone: %s\n", file,
			visible.Line(strings.Join(derived.LeftOut, ", ")))
	}

	names := runner.Namespaces(given, derived.Trigger)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if name != "" {
			fmt.Fprintf(out, "%s: namespace %s is %s\n", file, name, names[name])
		}
	}
}

// unprobed are settings whose probe mode is again that of the protocol, if nobody has chosen one.
func (o *runOptions) unprobed(settings setting.Settings) setting.Settings {
	if !settings.Given("probe") {
		settings.Probe = ""
	}
	return settings
}

// derivedFlags are the settings that were read off objects, as the flags that give them.
func (o *runOptions) derivedFlags(given, derived setting.Settings) []string {
	var flags []string
	for _, field := range o.settings.table {
		value := field.Value(derived)
		said := reflect.DeepEqual(value, field.Value(given)) && field.Name != "direction"
		if said || given.Given(field.Name) || field.Name == "probe" {
			continue
		}
		flag := "--" + field.Name
		if value != true {
			flag += " " + report.Quote(field.Text(derived))
		}
		flags = append(flags, flag)
	}
	return flags
}
