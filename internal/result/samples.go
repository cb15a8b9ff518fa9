// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// Schema is the version of the records that this package writes. It reads every version up to it.
const Schema = 3

// record is one sample as a line. Instants are RFC 3339 with nanoseconds; durations nanoseconds.
type record struct {
	Schema      int                 `json:"schema"`
	Scenario    string              `json:"scenario"`
	Namespace   string              `json:"namespace"`
	Pod         string              `json:"pod"`
	UID         string              `json:"uid"`
	Address     netip.AddrPort      `json:"address"`
	Status      string              `json:"status"`
	Reason      string              `json:"reason,omitempty"`
	Cause       string              `json:"cause,omitempty"`
	Kind        string              `json:"kind,omitempty"`
	StartSource measure.StartSource `json:"startSource,omitempty"`
	Start       time.Time           `json:"start,omitzero"`
	Uncertainty time.Duration       `json:"startUncertaintyNs,omitempty"`
	Lower       time.Time           `json:"lower,omitzero"`
	Upper       time.Time           `json:"upper,omitzero"`
	LatencyLow  *time.Duration      `json:"latencyLowerNs,omitempty"`
	LatencyHigh *time.Duration      `json:"latencyUpperNs,omitempty"`
	Estimate    *time.Duration      `json:"latencyNs,omitempty"`
	Ended       time.Time           `json:"ended,omitzero"`
	Created     time.Time           `json:"created,omitzero"`
	Assigned    time.Time           `json:"assigned,omitzero"`
	Baseline    string              `json:"baseline,omitempty"`
	Evidence    string              `json:"evidence,omitempty"`
	Response    int                 `json:"response,omitempty"`
	Flaps       []flap              `json:"flaps,omitempty"`
	FlapCount   int                 `json:"flapCount,omitempty"`
	Lost        uint64              `json:"lost,omitempty"`
	Setting     string              `json:"setting,omitempty"`
	Want        string              `json:"want,omitempty"`
	ClientSpace string              `json:"clientNamespace,omitempty"`
	ClientPod   string              `json:"clientPod,omitempty"`
	ClientUID   string              `json:"clientUid,omitempty"`
	ClientNode  string              `json:"clientNode,omitempty"`
	TargetNode  string              `json:"node,omitempty"`
	Iteration   int                 `json:"round,omitempty"`
	Agent       int                 `json:"agent,omitempty"`
	// Forbidden stands for the kind in schema 1.
	Forbidden bool              `json:"forbidden,omitempty"`
	Leaks     int               `json:"leaks,omitempty"`
	Watched   *watched          `json:"watched,omitempty"`
	Probes    map[string]uint64 `json:"probes,omitempty"`
	ProbeRate float64           `json:"probeRate,omitempty"`
	RoundTrip time.Duration     `json:"roundTripNs,omitempty"`
	Warnings  []string          `json:"warnings,omitempty"`
}

// flap is a change of state around or after the transition.
type flap struct {
	To    string    `json:"to"`
	Lower time.Time `json:"lower,omitzero"`
	Upper time.Time `json:"upper"`
}

// Write writes the samples, one line each.
func Write(w io.Writer, samples []measure.Sample) error {
	encoder := json.NewEncoder(w)
	for _, sample := range samples {
		if err := encoder.Encode(recordOf(sample)); err != nil {
			return fmt.Errorf("write sample of pod %s/%s: %w",
				sample.Target.Pod.Namespace, sample.Target.Pod.Name, err)
		}
	}
	return nil
}

// Read reads samples to the end of r. A line that is no sample is an error that names the line.
func Read(r io.Reader) ([]measure.Sample, error) { return read(r, all) }

// all is the limit of who reads to the end.
const all = -1

// read reads a number of samples.
func read(r io.Reader, limit int) ([]measure.Sample, error) {
	decoder := json.NewDecoder(&limitLines{stream: r})
	var samples []measure.Sample
	for line := 1; limit == all || line <= limit; line++ {
		var one record
		err := decoder.Decode(&one)
		switch {
		case errors.Is(err, io.EOF) && limit == all:
			return samples, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("read sample %d of %d: is the file whole? %w", line, limit,
				io.ErrUnexpectedEOF)
		case err != nil:
			return nil, fmt.Errorf("read sample %d: %w", line, err)
		}
		if line > mostSamples {
			return nil, fmt.Errorf("read sample %d: expected at most %d", line, mostSamples)
		}

		sample, err := one.sample()
		if err != nil {
			return nil, fmt.Errorf("read sample %d: %w", line, err)
		}
		samples = append(samples, sample)
	}
	return samples, nil
}

// Marshal is a sample as one line of a file has it.
func Marshal(sample measure.Sample) (json.RawMessage, error) {
	text, err := json.Marshal(recordOf(sample))
	if err != nil {
		return nil, fmt.Errorf("write sample of pod %s/%s: %w",
			sample.Target.Pod.Namespace, sample.Target.Pod.Name, err)
	}
	return text, nil
}

// Unmarshal reads what Marshal writes.
func Unmarshal(text json.RawMessage) (measure.Sample, error) {
	var one record
	if err := json.Unmarshal(text, &one); err != nil {
		return measure.Sample{}, fmt.Errorf("read a sample: %w", err)
	}
	return one.sample()
}

func recordOf(s measure.Sample) record {
	one := record{
		Schema: Schema, Scenario: s.Scenario,
		Namespace: s.Target.Pod.Namespace, Pod: s.Target.Pod.Name, UID: s.Target.Pod.UID,
		Address: s.Target.Address, Status: s.Status.String(), Reason: s.Reason,
		Kind: s.Kind.String(), Cause: s.Cause.String(),
		StartSource: s.Start.Source, Start: s.Start.At, Uncertainty: s.Start.Uncertainty,
		Lower: s.Bracket.Lower, Upper: s.Bracket.Upper,
		Ended: s.Ended, Created: s.Created, Assigned: s.Assigned,
		Response: s.Response, FlapCount: s.FlapCount, Lost: s.Lost,
		Warnings: s.Warnings, Probes: make(map[string]uint64),
		Iteration: s.Iteration, Agent: s.Agent, Leaks: s.Leaks,
		Setting: s.Setting, ClientSpace: s.Client.Namespace, ClientPod: s.Client.Name,
		ClientUID:  s.Client.UID,
		ClientNode: s.ClientNode, TargetNode: s.TargetNode,
		ProbeRate: s.ProbeRate, RoundTrip: s.RoundTrip,
		Watched: recordOfWatched(s.Watched),
	}

	if s.Want != measure.StateUnknown {
		one.Want = s.Want.String()
	}

	for _, change := range s.Flaps {
		one.Flaps = append(one.Flaps, flap{change.To.String(), change.Bracket.Lower,
			change.Bracket.Upper})
	}

	if s.Evidence != measure.Ambiguous {
		one.Evidence = s.Evidence.String()
	}

	if s.Status == measure.Measured && !s.Kind.Stays() {
		latency, estimate := s.Latency(), s.Latency().Estimate()
		one.LatencyHigh = &latency.Upper
		if s.Bracket.Bounded() {
			one.LatencyLow, one.Estimate = &latency.Lower, &estimate
		}
	}

	if s.Baseline != measure.Ambiguous {
		one.Baseline = s.Baseline.String()
	}

	for _, verdict := range measure.Verdicts() {
		if n := s.Probes[verdict]; n > 0 {
			one.Probes[verdict.String()] = n
		}
	}

	return one
}

// sample is what the record says, in text that can be printed.
func (r record) sample() (measure.Sample, error) {
	visible.Fields(&r)
	if r.Schema < 1 || r.Schema > Schema {
		return measure.Sample{}, fmt.Errorf("read schema %d: this version reads 1 to %d: "+
			"use a newer netpol-latency", r.Schema, Schema)
	}

	statuses := measure.Statuses()
	at := slices.IndexFunc(statuses, func(s measure.Status) bool { return s.String() == r.Status })
	if at < 0 {
		return measure.Sample{}, fmt.Errorf("read status %q: expected one of %v", r.Status,
			statuses)
	}

	kind, err := r.kind()
	if err != nil {
		return measure.Sample{}, err
	}

	status := statuses[at]
	if r.Schema < 3 && r.Reason == measure.NotReported {
		status = measure.Unobserved // it was called censored
	}

	sample := measure.Sample{
		Scenario: r.Scenario,
		Target: measure.Target{
			Pod:     measure.Object{Namespace: r.Namespace, Name: r.Pod, UID: r.UID},
			Address: r.Address,
		},
		Status: status, Reason: r.Reason, Cause: measure.ParseCause(r.Cause),
		Start:   measure.Start{Source: r.StartSource, At: r.Start, Uncertainty: r.Uncertainty},
		Bracket: measure.Bracket{Lower: r.Lower, Upper: r.Upper},
		Ended:   r.Ended, Created: r.Created, Assigned: r.Assigned, Warnings: r.Warnings,
		Response: r.Response, FlapCount: r.FlapCount, Lost: r.Lost,
		Iteration: r.Iteration, Agent: r.Agent, Kind: kind, Leaks: r.Leaks,
		Client: measure.Object{Namespace: r.ClientSpace, Name: r.ClientPod, UID: r.ClientUID},
		Want:   state(r.Want), Setting: r.Setting,
		ClientNode: r.ClientNode, TargetNode: r.TargetNode,
		ProbeRate: r.ProbeRate, RoundTrip: r.RoundTrip,
		Watched: r.Watched.read(),
	}

	for _, one := range r.Flaps {
		bracket := measure.Bracket{Lower: one.Lower, Upper: one.Upper}
		sample.Flaps = append(sample.Flaps, measure.Change{To: state(one.To), Bracket: bracket})
	}

	for _, verdict := range measure.Verdicts() {
		sample.Probes[verdict] = r.Probes[verdict.String()]
		if verdict.String() == r.Baseline {
			sample.Baseline = verdict
		}
		if verdict.String() == r.Evidence {
			sample.Evidence = verdict
		}
	}

	return sample, nil
}

// kind is the kind of the pair. Records of schema 1 tell it by a flag, and by the name of the one
// scenario that had open connections.
func (r record) kind() (measure.Kind, error) {
	switch {
	case r.Schema == 1 && r.Forbidden:
		return measure.KindBlocked, nil
	case r.Schema == 1 && r.Scenario == "established":
		return measure.KindOpen, nil
	case r.Schema == 1:
		return measure.KindNew, nil
	}

	for _, one := range measure.Kinds() {
		if one.String() == r.Kind {
			return one, nil
		}
	}

	return 0, fmt.Errorf("read kind %q: expected one of %v", r.Kind, measure.Kinds())
}

// state is the state of a name, unknown for any other.
func state(name string) measure.State {
	for _, one := range []measure.State{measure.StateAllowed, measure.StateBlocked} {
		if one.String() == name {
			return one
		}
	}
	return measure.StateUnknown
}
