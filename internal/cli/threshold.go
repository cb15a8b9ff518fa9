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
)

// parseThresholds reads the thresholds, and checks that each is about something that is measured.
func parseThresholds(texts []string, tasks []task) ([]measure.Threshold, error) {
	var names []string
	for _, one := range tasks {
		names = append(names, runner.ResultNames(one.options, one.scenario)...)
	}
	var all []measure.Threshold
	var mistakes []error
	for _, text := range texts {
		one, err := measure.ParseThreshold(text)
		if err == nil && len(tasks) > 0 && !slices.ContainsFunc(names, one.AboutName) {
			err = fmt.Errorf("threshold %q is about no result of this run: expected one of %q", text, names)
		}
		all, mistakes = append(all, one), append(mistakes, err)
	}
	return all, errors.Join(mistakes...)
}

// judge prints how each threshold stands for each result that it is about, and counts the missed ones. One that is
// about nothing that there is, because the run ended before, is missed.
func judge(out io.Writer, thresholds []measure.Threshold, summaries []measure.Summary) (missed int, err error) {
	for _, threshold := range thresholds {
		about := slices.DeleteFunc(slices.Clone(summaries), func(s measure.Summary) bool { return !threshold.About(s) })
		if len(about) == 0 {
			about = []measure.Summary{{Scenario: threshold.Name()}}
		}
		for _, summary := range about {
			holds, text := threshold.Judge(summary)
			if !holds {
				missed++
			}
			if more := whichResult(threshold, summary); more != "" {
				text += " (" + more + ")"
			}
			if _, err := fmt.Fprintln(out, "threshold "+text); err != nil {
				return missed, fmt.Errorf("print a threshold: %w", err)
			}
		}
	}
	return missed, nil
}

// whichResult tells a result apart from others that a threshold is about.
func whichResult(threshold measure.Threshold, summary measure.Summary) string {
	name := ""
	if summary.Scenario != threshold.Name() {
		name = summary.Scenario
	}
	switch {
	case name == "" || summary.Setting == "":
		return name + summary.Setting
	default:
		return name + ", " + summary.Setting
	}
}
