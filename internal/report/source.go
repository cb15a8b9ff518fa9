// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Source is a run that is reported about.
type Source struct {
	// Directory is what it was read from.
	Directory result.Directory
	// Settings are what can be set for a run: the fields of its records of settings.
	Settings setting.Table
	Run      result.Run
	Samples  []measure.Sample
	// Thresholds are the limits of its results: those of the run, and further ones.
	Thresholds []measure.Threshold
}

// Open reads the directory of a run, whose settings are those of the table.
func Open(path string, settings setting.Table) (Source, error) {
	directory := result.Directory(path)
	run, samples, err := directory.Read()
	if err != nil {
		return Source{}, err
	}

	source := Source{Directory: directory, Settings: settings, Run: run, Samples: samples}
	source.relabel()
	for _, text := range run.Thresholds {
		threshold, err := measure.ParseThreshold(text)
		if err != nil {
			return Source{}, fmt.Errorf("read the thresholds of %s: %w", path, err)
		}
		source.Thresholds = append(source.Thresholds, threshold)
	}

	return source, nil
}

// relabel names the settings as this version does, so that results of an earlier one, whose labels
// said less, can be found among later ones. Where several settings of a scenario had one label,
// their samples cannot be told apart: they keep it, and a warning says so.
func (s *Source) relabel() {
	type run struct{ scenario, label string }
	labels := make(map[run]string)
	merged := make(map[run]bool)
	for _, one := range s.Run.Scenarios {
		if len(one.Settings) == 0 {
			continue // it did not note them
		}
		old := run{one.Scenario, one.Setting}
		label := s.Settings.Label(s.Settings.Recall(one.Settings))
		earlier, again := labels[old]
		if again && earlier != label && !merged[old] {
			merged[old] = true
			s.Run.Warnings = append(s.Run.Warnings, fmt.Sprintf("%s was run with settings that "+
				"the version of that time labelled alike: their results are taken together",
				measure.ResultName(old.scenario, old.label)))
		}
		labels[old] = label
	}

	current := func(scenario, label string) string {
		old := run{scenario, label}
		if found, ok := labels[old]; ok && !merged[old] {
			return found
		}
		return label
	}
	for i, one := range s.Run.Scenarios {
		s.Run.Scenarios[i].Setting = current(one.Scenario, one.Setting)
	}
	for i, sample := range s.Samples {
		name, _, _ := strings.Cut(sample.Scenario, "/")
		s.Samples[i].Setting = current(name, sample.Setting)
	}
}

// Summaries condense the samples: one for each setting, scenario and part.
func (s Source) Summaries() []measure.Summary { return measure.SummarizeAll(s.Samples) }

// Iterations condense the samples of each iteration: for each setting, scenario and part the
// summaries of its triggers.
func (s Source) Iterations() [][]measure.Summary {
	iterations := make(map[int][]measure.Sample)
	for _, sample := range s.Samples {
		iterations[sample.Iteration] = append(iterations[sample.Iteration], sample)
	}

	numbers := make([]int, 0, len(iterations))
	for number := range iterations {
		numbers = append(numbers, number)
	}

	slices.Sort(numbers)
	var all []measure.Summary
	for _, number := range numbers {
		all = append(all, measure.SummarizeAll(iterations[number])...)
	}

	slices.SortStableFunc(all, byName)
	return groups(all, func(a, b measure.Summary) bool { return byName(a, b) == 0 })
}

func byName(a, b measure.Summary) int {
	return cmp.Or(cmp.Compare(a.Setting, b.Setting), cmp.Compare(a.Scenario, b.Scenario))
}

// groups are the runs of neighbours that belong together.
func groups(all []measure.Summary, together func(a, b measure.Summary) bool) [][]measure.Summary {
	var found [][]measure.Summary
	for len(all) > 0 {
		end := slices.IndexFunc(all, func(s measure.Summary) bool { return !together(all[0], s) })
		if end < 0 {
			end = len(all)
		}
		found, all = append(found, all[:end]), all[end:]
	}
	return found
}

// bySetting are the summaries of each setting.
func bySetting(all []measure.Summary) [][]measure.Summary {
	return groups(all, func(a, b measure.Summary) bool { return a.Setting == b.Setting })
}
