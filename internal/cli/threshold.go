// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// parseThresholds reads the thresholds, and checks that each is about something that is measured.
func parseThresholds(texts []string, scenarios []scenario.Scenario, o runner.Options) ([]measure.Threshold, error) {
	names := resultNames(scenarios, o)
	var all []measure.Threshold
	var mistakes []error
	for _, text := range texts {
		one, err := measure.ParseThreshold(text)
		if err == nil && !slices.Contains(names, one.Name()) {
			err = fmt.Errorf("threshold %q is about no result of this run: expected one of %q", text, names)
		}
		all, mistakes = append(all, one), append(mistakes, err)
	}
	return all, errors.Join(mistakes...)
}

// resultNames are the names that the results of the scenarios will have.
func resultNames(scenarios []scenario.Scenario, o runner.Options) []string {
	var names []string
	for _, one := range scenarios {
		if one.Parts == nil {
			continue // unknown, which is said elsewhere
		}
		names = append(names, runner.ResultNames(o, one)...)
	}
	return names
}

// judge prints how each threshold stands, and counts the missed ones.
func judge(out io.Writer, thresholds []measure.Threshold, summaries []measure.Summary) (missed int, err error) {
	for _, threshold := range thresholds {
		var about measure.Summary
		for _, summary := range summaries {
			if summary.Scenario == threshold.Name() {
				about = summary
			}
		}
		holds, text := threshold.Judge(about)
		if !holds {
			missed++
		}
		if _, err := fmt.Fprintln(out, "threshold "+text); err != nil {
			return missed, fmt.Errorf("print a threshold: %w", err)
		}
	}
	return missed, nil
}
