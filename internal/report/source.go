// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// Source is a run that is reported about.
type Source struct {
	// Directory is what it was read from.
	Directory result.Directory
	Run       result.Run
	Samples   []measure.Sample
	// Thresholds are the limits of its results: those of the run, and further ones.
	Thresholds []measure.Threshold
}

// Open reads the directory of a run.
func Open(path string) (Source, error) {
	directory := result.Directory(path)
	run, samples, err := directory.Read()
	if err != nil {
		return Source{}, err
	}
	source := Source{Directory: directory, Run: run, Samples: samples}
	for _, text := range run.Thresholds {
		threshold, err := measure.ParseThreshold(text)
		if err != nil {
			return Source{}, fmt.Errorf("read the thresholds of %s: %w", path, err)
		}
		source.Thresholds = append(source.Thresholds, threshold)
	}
	return source, nil
}

// Summaries condense the samples: one for each setting, scenario and part.
func (s Source) Summaries() []measure.Summary { return measure.SummarizeAll(s.Samples) }

// Rounds condense the samples of each round: for each setting, scenario and part the summaries of its triggers.
func (s Source) Rounds() [][]measure.Summary {
	rounds := make(map[int][]measure.Sample)
	for _, sample := range s.Samples {
		rounds[sample.Round] = append(rounds[sample.Round], sample)
	}
	numbers := make([]int, 0, len(rounds))
	for number := range rounds {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var all []measure.Summary
	for _, number := range numbers {
		all = append(all, measure.SummarizeAll(rounds[number])...)
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
