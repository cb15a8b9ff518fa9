// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"net/netip"
	"runtime"
	"time"
)

// DefaultTimeout is how long a probe waits for its answer unless told otherwise.
const DefaultTimeout = 500 * time.Millisecond

// DefaultResponseTimeout is how long a response may take once the connection is open. The
// connection alone already shows that the network allows it, so this bound only keeps a server that
// never answers from holding connections for ever.
const DefaultResponseTimeout = 10 * time.Second

// DefaultSchedule is the schedule of a mode on this machine unless told otherwise. A request costs
// its target more than a connection does: sent every millisecond, requests make small targets
// answer late.
func DefaultSchedule(mode Mode) Schedule {
	shortest := time.Millisecond
	if mode == HTTP || mode == Established {
		shortest = 4 * time.Millisecond
	}
	return Schedule{
		BaseInterval: 5 * time.Millisecond, MinInterval: shortest, RelativeStep: 0.01,
		MaxRate: defaultMaxRate(mode),
	}
}

// defaultMaxRate is that of as many processors as this process may use.
func defaultMaxRate(mode Mode) float64 { return mode.DefaultMaxRate(runtime.GOMAXPROCS(0)) }

// Config says how an engine probes.
type Config struct {
	Mode Mode
	// Schedule is how often; a MaxRate of 0 is the mode's own on this machine.
	Schedule Schedule
	// Timeout is how long a probe waits for its answer, less than MaxTimeout.
	Timeout time.Duration
	// ResponseTimeout is how long a response may take on a connection that is open; 0 is the
	// default.
	ResponseTimeout time.Duration
	// Paced has the engine find the rate that the path bears, which the schedule bounds.
	Paced bool
	// Control is whose replies tell of the path while no pair has any.
	Control Control
	// ConntrackEntries is how many entries the probes may hold in the connection tracking table of
	// a node ([ConntrackBudget]); 0 is any number.
	ConntrackEntries int
}

// Control is an address that stays allowed and is probed beside the pairs: nothing is measured by
// that but the path.
type Control struct {
	Address netip.AddrPort // none if there is no such address
	// Interval is the shortest time between two probes of it, [ControlInterval] or more; 0 is
	// never.
	Interval time.Duration
}

// ControlInterval is the shortest time between two control probes that makes sense: more tell
// nothing more, and somebody answers them.
const ControlInterval = 20 * time.Millisecond
