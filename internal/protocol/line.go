// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Line is one line of an agent's log. Exactly one of its contents is set. The lines are numbered
// from 1, so that a reader who has to open the log again knows what it has read, and notices what
// is missing.
type Line struct {
	Seq    int    `json:"seq"`
	Hello  *Hello `json:"hello,omitempty"`
	Clock  *Clock `json:"clock,omitempty"`
	Proved *Pairs `json:"proved,omitempty"`
	// Presumed is about pairs that are presumed to be blocked as they are wanted to be, and not yet
	// known to be.
	Presumed *Pairs `json:"presumed,omitempty"`
	// Sample is a sample as package result writes it.
	Sample   json.RawMessage `json:"sample,omitempty"`
	Finished *Finished       `json:"round,omitempty"`
	Warn     *Warning        `json:"warning,omitempty"`
}

// LinePrefix is what every line begins with, and nothing else that is found in a log.
const LinePrefix = `{"seq":`

// Hello is the first line of an agent or a starting pod.
type Hello struct {
	// Protocol is its version of the protocol.
	Protocol int `json:"protocol"`
	Agent    int `json:"agent"`
	// Boot is the [BootID] of the kernel that the agent runs on.
	Boot   string `json:"boot,omitempty"`
	Mode   string `json:"mode"`
	Reason string `json:"reason,omitempty"`
}

// BootID identifies the kernel of this process (random(4), boot_id): processes of one kernel share
// their clock. It is empty where it cannot be read: the difference of the clocks is measured then.
func BootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Clock is an agent's reading of its clock in answer to a ping.
type Clock struct {
	Ping     int       `json:"ping"`
	Received time.Time `json:"received"`
	Sent     time.Time `json:"sent"`
}

// Pairs counts the pairs of an iteration of which something is so, for example that their old state
// has been seen.
type Pairs struct {
	Iteration int `json:"round"`
	Pairs     int `json:"pairs"`
}

// Finished is an agent's last line about an iteration: how many samples it has written, and how
// many entries its probes may have by then in the connection tracking table of a node, and for how
// long.
type Finished struct {
	Iteration int           `json:"round"`
	Samples   int           `json:"samples"`
	Entries   int           `json:"entries,omitempty"`
	Stay      time.Duration `json:"stay,omitempty"`
}

// Warning is something that qualifies all results of an agent.
type Warning struct {
	Text string `json:"text"`
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
	if line.Hello != nil {
		hello := *line.Hello
		hello.Protocol = Version
		line.Hello = &hello
	}
	if err := l.encoder.Encode(line); err != nil {
		return fmt.Errorf("write line %d of the log: %w", line.Seq, err)
	}
	return nil
}
