// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package accuracy holds the probing engine against ground truth: it changes the filter of a flat
// network at known instants while the engine watches, and checks that every bracket contains its
// commit.
package accuracy

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// Cell is one combination of circumstances.
type Cell struct {
	Mode   probe.Mode
	Want   measure.State
	Denial flat.Denial
	Pairs  int
	Delay  time.Duration
	Six    bool
}

// String is the cell in one line.
func (c Cell) String() string {
	family := 4
	if c.Six {
		family = 6
	}
	return fmt.Sprintf("%5d pairs, %-7s to %s, %-5s after %-5s IPv%d", c.Pairs, c.Mode, c.Want,
		c.Denial, c.Delay, family)
}

// Targets are the addresses of the cell's pairs.
func (c Cell) Targets() []netip.AddrPort { return flat.Targets(c.Pairs, c.Six) }

// Delays are those of the policy engine that the matrix stands for.
func Delays() []time.Duration {
	return []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, time.Second}
}

// Matrix is every cell, as many times as it takes for a few hundred transitions of the small ones.
func Matrix(modes []probe.Mode, pairs []int) []Cell {
	var all []Cell
	for _, n := range pairs {
		for _, mode := range modes {
			for _, want := range []measure.State{measure.StateAllowed, measure.StateBlocked} {
				if mode == probe.Established && want == measure.StateAllowed {
					continue // there is no connection while the pair is blocked
				}
				all = append(all, cells(Cell{Mode: mode, Want: want, Denial: flat.Drop,
					Pairs: n})...)
			}
		}
	}

	return all
}

// cells are the variations of one cell of the matrix.
func cells(c Cell) []Cell {
	var all []Cell
	for _, delay := range Delays() {
		one := c
		one.Delay = delay
		for range repetitions(c.Pairs) {
			all = append(all, one)
		}
	}

	if c.Pairs == 20 || c.Pairs == 200 {
		for _, denial := range []flat.Denial{flat.Reset, flat.ICMP} {
			one := c
			one.Denial, one.Delay = denial, 100*time.Millisecond
			if c.Mode != probe.UDP || denial != flat.Reset {
				all = append(all, one)
			}
		}
		one := c
		one.Six, one.Delay = true, 10*time.Millisecond
		all = append(all, one)
	}

	return all
}

// repetitions is how often a cell is run.
func repetitions(pairs int) int {
	if pairs == 20 {
		return 5
	}
	return 1
}
