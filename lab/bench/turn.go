// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"net/netip"

	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// State is what becomes of the probes of a turn.
type State string

// The states.
const (
	Dropped  State = "dropped"
	Answered State = "answered"
)

// span is how many targets there are of each state.
const span = 10_000

// targets are the first targets of a state.
func (s State) targets(count int) []netip.AddrPort {
	all := flat.Targets(2*span, false)
	if s == Answered {
		all = all[span:]
	}
	return all[:count]
}

// Turn is one measurement of one yardstick.
type Turn struct {
	Yardstick string
	State     State
	// Pairs is how many targets the engine probes.
	Pairs int
	// Router is the address of the router's end of the client's wire, which frames are sent to.
	Router string
}

// make makes the turn, in the child.
func (t Turn) make(ctx context.Context) (Reading, error) {
	chosen, err := choose([]string{t.Yardstick})
	if err != nil {
		return Reading{}, err
	}
	return chosen[0].run(ctx, t)
}

// reply is what a child tells of its turn.
type reply struct {
	Reading Reading
	Error   string `json:",omitempty"`
}
