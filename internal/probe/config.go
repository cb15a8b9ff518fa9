// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"math"
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

// The values of a configuration that have a range, by name.
const (
	ValueTimeout     = "probe timeout"
	ValueInterval    = "probe interval"
	ValueMinInterval = "shortest probe interval"
	ValueResolution  = "relative resolution"
	ValueMaxRate     = "most probes a second"
)

// The shortest intervals between two probes of a pair, before its trigger and after it.
const (
	shortestBefore = time.Millisecond
	shortestAfter  = 100 * time.Microsecond
)

// OutOfRange is the error that a value is not one that it can have.
type OutOfRange struct {
	Name  string // one of those above
	Value any
	Want  string // which values it can have
}

// Error implements error.
func (e OutOfRange) Error() string {
	return fmt.Sprintf("use %s %v: expected %s", e.Name, e.Value, e.Want)
}

// OutOfRange are the values that are not what they can be.
func (c Config) OutOfRange() []OutOfRange {
	var all []OutOfRange
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			all = append(all, OutOfRange{name, value, want})
		}
	}

	s := c.Schedule
	check(c.Timeout > 0 && c.Timeout < MaxTimeout, ValueTimeout, c.Timeout, fmt.Sprintf(
		"more than 0 and less than %s, when the kernel sends a lost SYN again", MaxTimeout))
	check(s.BaseInterval >= shortestBefore, ValueInterval, s.BaseInterval,
		fmt.Sprintf("%s or more", shortestBefore))
	check(s.MinInterval >= shortestAfter, ValueMinInterval, s.MinInterval,
		fmt.Sprintf("%s or more", shortestAfter))
	check(s.RelativeStep >= 0 && s.RelativeStep <= 1, ValueResolution, s.RelativeStep,
		"0 to 1, for example 0.01")
	check(s.MaxRate >= 0 && !math.IsInf(s.MaxRate, 0), ValueMaxRate, s.MaxRate,
		"more than 0 probes a second, or 0 for what suits the mode")
	return all
}

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var mistakes []error
	for _, one := range c.OutOfRange() {
		mistakes = append(mistakes, one)
	}
	return errors.Join(mistakes...)
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
