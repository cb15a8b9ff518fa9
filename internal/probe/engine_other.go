// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package probe

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
)

// Engine is what probes on Linux. Elsewhere there is none: the program that probes runs in pods,
// and only what a person runs, which never probes, is of use on another system.
type Engine struct {
	Mode     Mode
	Reason   string
	Warnings []string
}

// New returns an error that says so.
func New(Config) (*Engine, error) {
	return nil, fmt.Errorf("probe from this machine: expected Linux, not %s: agents and test "+
		"clients run in pods; \"netpol-latency run\" works from here", runtime.GOOS)
}

// ListenSCTP returns an error that says so.
func ListenSCTP(int) (net.Listener, error) {
	return nil, fmt.Errorf("serve SCTP from this machine: expected Linux, not %s", runtime.GOOS)
}

// Schedule is empty.
func (*Engine) Schedule() Schedule { return Schedule{} }

// Epoch is zero.
func (*Engine) Epoch() time.Time { return time.Time{} }

// Pace is empty.
func (*Engine) Pace() pace.State { return pace.State{} }

// Stats are 0.
func (*Engine) Stats() Stats { return Stats{} }

// LimitConntrack does nothing.
func (*Engine) LimitConntrack(int) {}

// ConntrackEntries is 0.
func (*Engine) ConntrackEntries() int { return 0 }

// DropsAreHere does nothing.
func (*Engine) DropsAreHere(bool) {}

// Add does nothing: there is no Engine without New.
func (*Engine) Add(netip.AddrPort, Observer) *Pair { return nil }

// Close does nothing.
func (*Engine) Close() error { return nil }

// Pair is one address that an engine probes.
type Pair struct{}

// Trigger does nothing.
func (*Pair) Trigger(time.Time) {}

// Stop does nothing.
func (*Pair) Stop() {}

// deferAccept does nothing: connections are accepted as they come.
func deferAccept(int) error { return nil }
