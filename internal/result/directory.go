// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// Directory is what a run leaves: run.json, samples.jsonl and summary.json.
type Directory string

// String is the directory's name for a person; what a file system takes for a name may do anything
// to a terminal.
func (d Directory) String() string { return visible.Line(string(d)) }

// Run says what was run, and where.
type Run struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"`
	Version string    `json:"version"`
	Began   time.Time `json:"began"`
	// Ended is when the run ended; of one that has not, when its last iteration did.
	Ended   time.Time `json:"ended"`
	Command []string  `json:"command"`
	// Context is the context of the kubeconfig, empty if there was none.
	Context string `json:"context,omitempty"`
	// State is how far the run came, and Error what ended it before its end. Earlier versions
	// wrote runs at their end only, without a state.
	State State  `json:"state,omitempty"`
	Error string `json:"error,omitempty"`
	// Samples is how many lines of samples.jsonl are of iterations that have ended. What follows
	// them is of one that was cut.
	Samples int `json:"samples,omitempty"`
	// Kubernetes is the version of the API server, Plugins are the network plugins that were found.
	Kubernetes string   `json:"kubernetes"`
	Plugins    []Plugin `json:"plugins"`
	Nodes      []Node   `json:"nodes"`
	// Scenarios are what was run, in order.
	Scenarios []Scenario `json:"scenarios"`
	// Thresholds are the limits of the results, as they were written. Warnings are about the run as
	// a whole.
	Thresholds []string `json:"thresholds,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`
}

// State is how far a run came.
type State string

// The states.
const (
	// StateRunning: the run is under way, or was cut: nobody could write how it ended.
	StateRunning State = "running"
	// StateComplete: all that was asked for was run.
	StateComplete State = "complete"
	// StateFailed: it ended before that, and said why.
	StateFailed State = "failed"
)

// Cut says how far a run came that did not come to its end; empty if it did.
func (r Run) Cut() string {
	done, planned := 0, 0
	for _, one := range r.Scenarios {
		done, planned = done+one.Iterations, planned+one.Planned
	}
	total := measure.Plural(planned, "iteration")

	switch r.State {
	case StateRunning:
		return fmt.Sprintf("the run was cut after %d of %s, or is still under way", done, total)
	case StateFailed:
		return fmt.Sprintf("the run ended after %d of %s: %s", done, total, r.Error)
	}
	return ""
}

// Plugin is a network plugin that was found in the cluster; its version is the tag of its image.
type Plugin struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// String is the plugin in a list.
func (p Plugin) String() string { return strings.TrimSpace(p.Name + " " + p.Version) }

// Node is a node of the cluster.
type Node struct {
	Name   string `json:"name"`
	Kernel string `json:"kernel,omitempty"`
	OS     string `json:"os,omitempty"`
}

// Scenario is one scenario as it was run, with the nodes on which its pods were. Setting is the
// label of the settings, which the samples have too.
type Scenario struct {
	Scenario    string         `json:"scenario"`
	Setting     string         `json:"setting,omitempty"`
	Settings    setting.Record `json:"settings"`
	AgentNodes  []string       `json:"agentNodes"`
	TargetNodes []string       `json:"targetNodes"`
	// Events are what has happened in the iterations of a disruption.
	Events []Event `json:"events,omitempty"`
	// Iterations is how many have ended of the Planned ones.
	Iterations int `json:"iterations,omitempty"`
	Planned    int `json:"plannedIterations,omitempty"`
	// Check is what the pairs did after the last iteration, nil of a run that did not look.
	Check *measure.Check `json:"check,omitempty"`
}

// Event is what has happened in an iteration of a disruption: a command, a restart, or nothing. Its
// instants are on the runner's clock.
type Event struct {
	Iteration int       `json:"round"`
	What      string    `json:"what"`
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended"`
	// ExitCode is that of a command, and Error why the event is not what it was to be.
	ExitCode *int   `json:"exitCode,omitempty"`
	Error    string `json:"error,omitempty"`
	// Marks are the lines that a command has written, or what has become of each pod of a restart.
	// So many were left out.
	Marks   []Mark `json:"marks,omitempty"`
	LeftOut int    `json:"leftOut,omitempty"`
}

// Mark is something that happened at an instant of an event.
type Mark struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Summary is the digest of a scenario in summary.json. Durations are nanoseconds.
type Summary struct {
	Scenario   string                   `json:"scenario"`
	Setting    string                   `json:"setting,omitempty"`
	Expected   int                      `json:"expected"`
	Statuses   map[string]int           `json:"statuses"`
	Leaks      int                      `json:"leaks"`
	Flaps      int                      `json:"flaps"`
	Latency    map[string]Quantile      `json:"latency,omitempty"`
	Resolution map[string]time.Duration `json:"resolutionNs,omitempty"`
	Disruption *Disruption              `json:"disruption,omitempty"`
	Warnings   []string                 `json:"warnings,omitempty"`
}

// Disruption is what was seen of pairs that had to keep their state: of Pairs so many did not for a
// time, or were Lost to the end; Breaches counts the outages or holes.
type Disruption struct {
	Pairs     int           `json:"pairs"`
	Broken    int           `json:"broken"`
	Lost      int           `json:"lost"`
	Breaches  int           `json:"breaches"`
	Longest   span          `json:"longest"`
	First     time.Time     `json:"first,omitzero"`
	Last      time.Time     `json:"last,omitzero"`
	Unwatched int           `json:"unwatched"`
	Unknown   time.Duration `json:"longestUnknownNs"`
	Lateness  time.Duration `json:"latenessNs"`
}

// DisruptionOf is a disruption as summary.json has it, nil of pairs that were not watched for one.
func DisruptionOf(d measure.Disruption) *Disruption {
	if d.Pairs == 0 {
		return nil
	}
	return &Disruption{
		Pairs: d.Pairs, Broken: d.Broken, Lost: d.Lost, Breaches: d.Breaches,
		Longest: span(d.Longest), First: d.First, Last: d.Last,
		Unwatched: d.Unwatched, Unknown: d.LongestUnknown, Lateness: d.Lateness,
	}
}

// Quantile is a quantile of the latencies, with its interval of 95 % confidence; an end that is
// missing is open.
type Quantile struct {
	Value time.Duration `json:"ns"`
	// AtLeast says that the quantile is longer than the value, AtMost that it is no longer.
	AtLeast bool           `json:"longer,omitempty"`
	AtMost  bool           `json:"atMost,omitempty"`
	Lower   *time.Duration `json:"lowerNs,omitempty"`
	Upper   *time.Duration `json:"upperNs,omitempty"`
}

// Read reads what a run left, of one that was cut what its finished iterations did. The digests in
// summary.json are for other programs: whoever has the samples makes them anew.
func (d Directory) Read() (Run, []measure.Sample, error) {
	var run Run
	content, err := readFile(filepath.Join(string(d), "run.json"))
	if errors.Is(err, os.ErrNotExist) {
		return Run{}, nil, fmt.Errorf("read the results: %s has no run.json: expected a "+
			"directory that netpol-latency run --output has written", d)
	}

	if err != nil {
		return Run{}, nil, fmt.Errorf("read the results: %w", err)
	}
	if err := json.Unmarshal(content, &run); err != nil {
		return Run{}, nil, fmt.Errorf("read %s: %w", filepath.Join(string(d), "run.json"), err)
	}
	visible.Fields(&run)

	if run.Schema < 1 || run.Schema > Schema {
		return Run{}, nil, fmt.Errorf("read %s: its schema is %d; this version reads 1 to %d: "+
			"use a newer one",
			filepath.Join(string(d), "run.json"), run.Schema, Schema)
	}

	file, err := os.Open(filepath.Join(string(d), "samples.jsonl"))
	if err != nil {
		return Run{}, nil, fmt.Errorf("read the results: %w", err)
	}

	defer file.Close()
	limit := all
	if run.State != "" {
		limit = run.Samples
	}
	samples, err := read(bufio.NewReader(file), limit)
	if err != nil {
		return Run{}, nil, fmt.Errorf("read %s: %w", file.Name(), err)
	}

	return run, samples, nil
}

// Digest is a summary as summary.json has it.
func Digest(s measure.Summary) Summary {
	one := Summary{
		Scenario: s.Scenario, Setting: s.Setting, Expected: s.Account.Expected,
		Statuses: make(map[string]int),
		Leaks:    s.Leaks, Flaps: s.Flaps, Warnings: s.Warnings,
		Resolution: quantiles(s.Resolution), Disruption: DisruptionOf(s.Disruption),
	}

	if s.HasLatency() {
		one.Latency = intervals(s)
	}

	for _, status := range measure.Statuses() {
		one.Statuses[status.String()] = s.Account.Count(status)
	}

	return one
}

func intervals(s measure.Summary) map[string]Quantile {
	all := make(map[string]Quantile)
	for _, shown := range measure.ShownQuantiles() {
		found := s.Quantile(shown.Q)
		one := Quantile{
			Value: found.Value, AtLeast: found.Censored == measure.RightCensored,
			AtMost: found.Censored == measure.LeftCensored,
		}
		if !found.UnboundedBelow {
			one.Lower = &found.Lower
		}
		if !found.Unbounded {
			one.Upper = &found.Upper
		}
		all[shown.Name] = one
	}

	return all
}

func quantiles(d measure.Distribution) map[string]time.Duration {
	if len(d) == 0 {
		return nil
	}
	all := make(map[string]time.Duration)
	for _, shown := range measure.ShownQuantiles() {
		all[shown.Name] = d.Quantile(shown.Q)
	}
	return all
}
