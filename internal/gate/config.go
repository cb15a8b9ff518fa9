// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"errors"
	"fmt"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// Kind is what is expected of an endpoint.
type Kind string

// The kinds.
const (
	Blocked Kind = "blocked"
	Allowed Kind = "allowed"
	// Control is an endpoint that answers whatever policy says: silence elsewhere counts while it
	// does.
	Control Kind = "control"
)

// want is the state that is waited for.
func (k Kind) want() measure.State {
	if k == Blocked {
		return measure.StateBlocked
	}
	return measure.StateAllowed
}

// Expect is an endpoint, and what is expected of it.
type Expect struct {
	Kind     Kind
	Endpoint Endpoint
}

// Config says what the gate waits for, and how.
type Config struct {
	Expect []Expect
	// Hold is for how long everything must be as expected, and Timeout how long is waited at most.
	Hold, Timeout time.Duration
	// Interval is the time between two probes of an address, and ProbeTimeout how long a probe
	// waits for its answer.
	Interval, ProbeTimeout time.Duration
}

// DefaultConfig holds the defaults of everything that has one.
func DefaultConfig() Config {
	return Config{
		Hold: 200 * time.Millisecond, Timeout: 30 * time.Second,
		Interval: 5 * time.Millisecond, ProbeTimeout: probe.DefaultTimeout,
	}
}

// Validate reports every mistake at once.
func (c Config) Validate() error {
	mistakes := []error{c.validateExpect()}
	wrong := func(bad bool, flag string, value any, expected string) {
		if bad {
			mistakes = append(mistakes,
				fmt.Errorf("--%s %v is out of range: expected %s", flag, value, expected))
		}
	}

	wrong(c.Hold < 0, "hold", c.Hold, "0 or more")
	wrong(c.Timeout <= c.Hold, "timeout", c.Timeout, fmt.Sprintf("more than --hold, %s", c.Hold))
	wrong(c.Interval > time.Second, "probe-interval", c.Interval, "1s or less")
	flags := map[string]string{
		probe.ValueInterval: "probe-interval", probe.ValueTimeout: "probe-timeout",
	}
	for _, one := range c.engine(probe.Connect).OutOfRange() {
		flag, given := flags[one.Name]
		wrong(given, flag, one.Value, one.Want)
	}
	return errors.Join(mistakes...)
}

// validateExpect reports expectations that cannot hold together, and none at all.
func (c Config) validateExpect() error {
	var mistakes []error
	some := false
	for i, one := range c.Expect {
		some = some || one.Kind != Control
		for _, other := range c.Expect[:i] {
			if one.Endpoint.same(other.Endpoint) && one.Kind.want() != other.Kind.want() {
				mistakes = append(mistakes, fmt.Errorf("--%s %s and --%s %s contradict each "+
					"other: expected one of them", other.Kind, other.Endpoint, one.Kind,
					one.Endpoint))
			}
		}
	}
	if !some {
		mistakes = append(mistakes, errors.New("there is nothing to wait for: expected --blocked "+
			"or --allowed, for example --blocked tcp://169.254.169.254:80"))
	}
	return errors.Join(mistakes...)
}

// engine is how the endpoints of a mode are probed. Gates open when pods start, of which a node has
// many: each has but a part of what probes may leave in its connection tracking table.
func (c Config) engine(mode probe.Mode) probe.Config {
	return probe.Config{
		Mode: mode, Timeout: c.ProbeTimeout,
		Schedule: probe.Schedule{
			BaseInterval: c.Interval, MinInterval: c.Interval, MaxRate: maxRate,
		},
		ConntrackEntries: probe.ConntrackBudget(gatesPerNode, 0),
	}
}

const (
	// maxRate is the most probes a second of one mode: ten addresses at the default interval.
	maxRate = 2000
	// gatesPerNode is by how many gates the probes' part of a node's connection tracking table is
	// shared.
	gatesPerNode = 4
)

// gap is the longest time between two probes of an address in which it counts as watched.
func (c Config) gap() time.Duration { return max(c.Hold/2, 4*c.Interval, 50*time.Millisecond) }

// rules are how much evidence a state takes.
func rules() measure.Rules { return measure.Rules{Confirm: measure.DefaultConfirm} }
