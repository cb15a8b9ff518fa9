// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
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
			err = fmt.Errorf("threshold %q is about no result of this run: expected one of %q",
				text, names)
		}
		all, mistakes = append(all, one), append(mistakes, err)
	}

	return all, errors.Join(mistakes...)
}
