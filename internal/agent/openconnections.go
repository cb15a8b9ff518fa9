// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"

	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
)

// openInterval is by how much rarer requests on open connections are than new connections: each
// costs its target more, and what it shows lasts longer.
const openInterval = 4

// ofOpen is how open connections are probed beside new ones.
func (c Config) ofOpen() Config {
	c.Probe = probe.Established
	c.ProbeInterval, c.ProbeIntervalMin = openInterval*c.ProbeInterval, openInterval*c.ProbeInterval
	return c
}

// twoEngines probe new connections by one engine and open ones by another.
type twoEngines struct {
	engineOf
	open engineOf
}

// follow implements prober.
func (t twoEngines) follow(to netip.AddrPort, observer probe.Observer) following {
	if p, ok := observer.(*pair); ok && p.expect.Open {
		return t.open.follow(to, observer)
	}
	return t.engineOf.follow(to, observer)
}

// Pace implements prober: it is that of new connections, found when both are.
func (t twoEngines) Pace() pace.State {
	state := t.engineOf.Pace()
	state.Found = state.Found && t.open.Pace().Found
	return state
}

// LimitConntrack implements prober. An open connection has one entry, so that the rest is for the
// others.
func (t twoEngines) LimitConntrack(entries int) {
	few := entries / openInterval
	t.open.LimitConntrack(max(1, few))
	t.engineOf.LimitConntrack(max(1, entries-few))
}

// ConntrackEntries implements prober.
func (t twoEngines) ConntrackEntries() int {
	return t.engineOf.ConntrackEntries() + t.open.ConntrackEntries()
}

// DropsAreHere implements prober.
func (t twoEngines) DropsAreHere(are bool) {
	t.engineOf.DropsAreHere(are)
	t.open.DropsAreHere(are)
}
