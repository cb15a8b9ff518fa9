// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// Source is a run that is reported about.
type Source struct {
	// Directory is what it was read from.
	Directory result.Directory
	Run       result.Run
	Samples   []measure.Sample
}

// Open reads the directory of a run.
func Open(path string) (Source, error) {
	directory := result.Directory(path)
	run, samples, err := directory.Read()
	if err != nil {
		return Source{}, err
	}
	return Source{Directory: directory, Run: run, Samples: samples}, nil
}

// Summaries condense the samples: one for each setting, scenario and part.
func (s Source) Summaries() []measure.Summary { return measure.SummarizeAll(s.Samples) }
