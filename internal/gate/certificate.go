// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Schema is the version of the certificate's form.
const Schema = 1

// Result is how a gate ended.
type Result string

// The results.
const (
	Waiting Result = "waiting"
	// Open: everything was as expected for as long as it had to be.
	Open Result = "open"
	// TimedOut: it was not, or it is not known.
	TimedOut Result = "timeout"
	// Opposite: the contrary of an expectation was so from the first probe to the last.
	Opposite Result = "opposite"
	// Interrupted: nobody waits any more.
	Interrupted Result = "interrupted"
)

// Certificate is what a gate has seen. Instants are RFC 3339 with nanoseconds, durations whole
// nanoseconds.
type Certificate struct {
	Schema int           `json:"schema"`
	Result Result        `json:"result"`
	Began  time.Time     `json:"began"`
	Ended  time.Time     `json:"ended"`
	Took   time.Duration `json:"tookNs"`
	Hold   time.Duration `json:"holdNs"`
	// Lateness is how late a probe left at the most: the processor was not there.
	Lateness time.Duration `json:"latenessNs"`
	// Controlled says that there is a control.
	Controlled   bool      `json:"controlled"`
	Expectations []Finding `json:"expectations"`
	Warnings     []string  `json:"warnings,omitempty"`
}

// Finding is what was seen of an expectation.
type Finding struct {
	Expect Kind   `json:"expect"`
	Target string `json:"target"`
	// Holds says that it has been so for as long as it had to be, Opposite that the contrary was so
	// from the first probe to the last.
	Holds     bool      `json:"holds"`
	Opposite  bool      `json:"opposite,omitempty"`
	Addresses []Address `json:"addresses"`
	// Problem is why there is no address.
	Problem string `json:"problem,omitempty"`
}

// Address is what was seen of one of its addresses.
type Address struct {
	Address netip.AddrPort `json:"address"`
	State   string         `json:"state"`
	Holds   bool           `json:"holds"`
	// Evidence is how the probes ended that showed the state.
	Evidence string `json:"evidence,omitempty"`
	// Lower and Upper bound the instant from which it was in that state; without Lower it was when
	// it was probed first. Resolution is their distance.
	Lower      time.Time     `json:"lower,omitzero"`
	Upper      time.Time     `json:"upper,omitzero"`
	Resolution time.Duration `json:"resolutionNs,omitempty"`
	// Watched is for how long probes, Agreed in number, have shown the state without a gap.
	Watched time.Duration `json:"watchedNs"`
	Agreed  int           `json:"agreed"`
	// Changes counts the changes of state, the first of them from an unknown one.
	Changes int               `json:"changes"`
	Probes  map[string]uint64 `json:"probes"`
}

// certify writes down what has been seen by now. The caller holds the lock.
func (g *gate) certify(result Result) Certificate {
	now := time.Now()
	c := Certificate{
		Schema: Schema, Result: result, Began: g.began.UTC(), Ended: now.UTC(),
		Took: now.Sub(g.began), Hold: g.config.Hold, Controlled: g.controlled(),
	}
	for _, one := range g.expectations {
		c.Expectations = append(c.Expectations, one.finding())
	}
	for _, mode := range slices.Sorted(maps.Keys(g.engines)) {
		engine := g.engines[mode]
		c.Lateness = max(c.Lateness, engine.Stats().MaxLateness)
		c.Warnings = append(c.Warnings, engine.Warnings...)
	}
	c.Warnings = append(c.Warnings, g.doubts()...)
	return c
}

// doubts are what else could explain what was seen.
func (g *gate) doubts() []string {
	var all []string
	for _, one := range g.expectations {
		if one.Kind != Blocked {
			continue
		}
		if !g.controlled() {
			all = append(all, fmt.Sprintf("%s: there is no control: an address that is down, or a "+
				"pod without a network, is as silent as a policy", one.Endpoint))
		}
		for _, p := range one.pairs {
			if p.evidence().Change().Evidence == measure.Refused {
				all = append(all, fmt.Sprintf("%s: refused: a policy that resets looks like a "+
					"port that nobody serves", one.Endpoint))
				break
			}
		}
	}
	return all
}

func (e *expectation) finding() Finding {
	f := Finding{Expect: e.Kind, Target: e.Endpoint.String(), Holds: e.holds(),
		Opposite: e.opposite(), Addresses: []Address{}}
	if e.problem != nil {
		f.Problem = e.problem.Error()
	}
	for _, to := range slices.SortedFunc(maps.Keys(e.pairs), netip.AddrPort.Compare) {
		f.Addresses = append(f.Addresses, e.pairs[to].address(to))
	}
	return f
}

func (p *pair) address(to netip.AddrPort) Address {
	s := p.evidence()
	change := s.Change()
	a := Address{
		Address: to, State: s.State().String(), Holds: p.holds(), Watched: s.Watched(),
		Agreed: s.Probes(), Changes: s.Changes(), Probes: make(map[string]uint64),
	}
	if s.State() != measure.StateUnknown {
		a.Evidence, a.Upper = change.Evidence.String(), change.Bracket.Upper.UTC()
	}
	if change.Bracket.Bounded() {
		a.Lower, a.Resolution = change.Bracket.Lower.UTC(), change.Bracket.Width()
	}
	for _, verdict := range measure.Verdicts() {
		if n := p.probes[verdict]; n > 0 {
			a.Probes[verdict.String()] = n
		}
	}
	return a
}

// JSON is the certificate on one line.
func (c Certificate) JSON() ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(c); err != nil {
		return nil, fmt.Errorf("encode the certificate: %w", err)
	}
	return line.Bytes(), nil
}
