// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Side is one side of a comparison: one run, or several of the same.
type Side struct {
	// Path is what it was read from.
	Path    string
	Sources []Source
}

// OpenSide reads a directory that is that of a run, or that holds those of several; their settings
// are those of the table.
func OpenSide(path string, settings setting.Table) (Side, error) {
	if _, err := os.Stat(filepath.Join(path, "run.json")); err == nil {
		source, err := Open(path, settings)
		return Side{path, []Source{source}}, err
	}

	runs, err := filepath.Glob(filepath.Join(escapeGlob(path), "*", "run.json"))
	if err != nil {
		return Side{}, fmt.Errorf("look for runs in %s: %w", path, err)
	}

	if len(runs) == 0 {
		return Side{}, fmt.Errorf("read %s: expected the directory of a run, which has a "+
			"run.json, or one that holds several such directories", path)
	}

	side := Side{Path: path}
	var mistakes []error
	for _, run := range runs {
		source, err := Open(filepath.Dir(run), settings)
		side.Sources, mistakes = append(side.Sources, source), append(mistakes, err)
	}

	return side, errors.Join(mistakes...)
}

// escapeGlob makes a path stand for itself in a pattern.
func escapeGlob(path string) string {
	escaped := ""
	for _, letter := range path {
		if letter == '*' || letter == '?' || letter == '[' || letter == '\\' {
			escaped += "\\"
		}
		escaped += string(letter)
	}
	return escaped
}

// samples are those of all runs.
func (s Side) samples() []measure.Sample {
	var all []measure.Sample
	for _, source := range s.Sources {
		all = append(all, source.Samples...)
	}
	return all
}

// cut says which of the runs did not come to their end, a sentence each.
func (s Side) cut() []string {
	var all []string
	for _, source := range s.Sources {
		if cut := source.Run.Cut(); cut != "" {
			all = append(all, fmt.Sprintf("%s: %s", source.Directory, cut))
		}
	}
	return all
}

// replicates are the summaries of what was repeated, by result: of each run, or of each iteration
// of all runs.
func (s Side) replicates(unit Unit) map[resultKey][]measure.Summary {
	all := make(map[resultKey][]measure.Summary)
	for _, source := range s.Sources {
		if unit == UnitRun {
			for _, summary := range source.Summaries() {
				all[keyOf(summary)] = append(all[keyOf(summary)], summary)
			}
			continue
		}
		for _, iterations := range source.Iterations() {
			all[keyOf(iterations[0])] = append(all[keyOf(iterations[0])], iterations...)
		}
	}

	return all
}

// resultKey names a result of a run.
type resultKey struct{ setting, scenario string }

func keyOf(s measure.Summary) resultKey { return resultKey{s.Setting, s.Scenario} }

// String is the name of the result, for messages.
func (k resultKey) String() string { return measure.ResultName(k.scenario, k.setting) }
