// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Set changes settings of the suite's runs: targets=50 those of all, runs[0].targets=50 that of the
// first, policy-creation.targets=50 those of the runs of a scenario. Later assignments override
// earlier ones. The error joins all mistakes; the suite is as it was then.
func Set(suite *Suite, fields setting.Table, assignments []string) error {
	runs := slices.Clone(suite.Runs)
	var mistakes []error
	for _, text := range assignments {
		if err := assign(runs, fields, text); err != nil {
			mistakes = append(mistakes, fmt.Errorf("assignment %q: %w", text, err))
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return err
	}
	suite.Runs = runs
	return nil
}

// assign carries out one assignment.
func assign(runs []Run, fields setting.Table, text string) error {
	left, value, ok := strings.Cut(text, "=")
	if !ok {
		return errors.New("expected KEY=VALUE, for example targets=50, runs[0].targets=50 or " +
			"policy-deny.targets=50")
	}

	key := left[strings.LastIndex(left, ".")+1:]
	field, err := fields.Find(key)
	if err != nil {
		return err
	}

	about, err := chosen(runs, strings.TrimSuffix(left, key))
	if err != nil {
		return err
	}

	for _, run := range about {
		if err := field.Parse(&run.Settings, value); err != nil {
			return err
		}
	}

	return nil
}

// chosen are the runs that an assignment is about: what stands before its key, with the dot.
func chosen(runs []Run, prefix string) ([]*Run, error) {
	about := strings.TrimSuffix(prefix, ".")
	index, numbered := strings.CutPrefix(about, "runs[")
	index, closed := strings.CutSuffix(index, "]")
	number, err := strconv.Atoi(index)
	if numbered && closed && (err != nil || number < 0 || number >= len(runs)) {
		return nil, fmt.Errorf("there is no %s: expected runs[0] to runs[%d]", about, len(runs)-1)
	}

	var all []*Run
	var names []string
	for i := range runs {
		if prefix == "" || numbered && closed && i == number || runs[i].Scenario == about {
			all = append(all, &runs[i])
		}
		if !slices.Contains(names, runs[i].Scenario) {
			names = append(names, runs[i].Scenario)
		}
	}

	if len(all) == 0 {
		return nil, fmt.Errorf("no run is of scenario %q: expected one of %s, or runs[0] for the "+
			"first run%s", about, strings.Join(names, ", "), setting.Hint(about, names))
	}

	return all, nil
}
