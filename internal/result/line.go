// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Line is one line of an agent's log. Exactly one of the pointers is set. The lines are numbered from 1,
// so that a reader who has to open the log again knows what it has read, and notices what is missing.
type Line struct {
	Seq    int    `json:"seq"`
	Hello  *Hello `json:"hello,omitempty"`
	Clock  *Clock `json:"clock,omitempty"`
	Proved *Pairs `json:"proved,omitempty"`
	// Presumed is about pairs that are presumed to be blocked as they are wanted to be, and not yet known to be.
	Presumed *Pairs   `json:"presumed,omitempty"`
	Sample   *record  `json:"sample,omitempty"`
	Round    *Round   `json:"round,omitempty"`
	Warn     *Warning `json:"warning,omitempty"`
}

// Hello is an agent's first line.
type Hello struct {
	Agent int `json:"agent"`
	// Boot identifies the kernel that the agent runs on (random(4), boot_id): processes of one kernel
	// share their clock.
	Boot   string `json:"boot,omitempty"`
	Mode   string `json:"mode"`
	Reason string `json:"reason,omitempty"`
}

// Pairs counts the pairs of a round of which something is so, for example that their old state has been seen.
type Pairs struct {
	Round int `json:"round"`
	Pairs int `json:"pairs"`
}

// Round is an agent's last line about a round: how many samples it has written.
type Round struct {
	Round   int `json:"round"`
	Samples int `json:"samples"`
}

// Warning is something that qualifies all results of an agent.
type Warning struct {
	Text string `json:"text"`
}

// Measured is the sample in the line.
func (l Line) Measured() (measure.Sample, error) {
	if l.Sample == nil {
		return measure.Sample{}, fmt.Errorf("read line %d: it holds no sample", l.Seq)
	}
	return l.Sample.sample()
}

// Lines writes numbered lines.
type Lines struct {
	encoder *json.Encoder
	seq     int
}

// NewLines writes to w.
func NewLines(w io.Writer) *Lines { return &Lines{encoder: json.NewEncoder(w)} }

// Write gives a line the next number and writes it.
func (l *Lines) Write(line Line) error {
	l.seq++
	line.Seq = l.seq
	if err := l.encoder.Encode(line); err != nil {
		return fmt.Errorf("write line %d of the log: %w", line.Seq, err)
	}
	return nil
}

// WriteSample writes a sample.
func (l *Lines) WriteSample(sample measure.Sample) error {
	one := recordOf(sample)
	return l.Write(Line{Sample: &one})
}
