// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"net/netip"
	"time"
)

// pair is an address that a worker probes, and all that it knows of that. It belongs to the worker.
type pair struct {
	to       netip.AddrPort
	number   int
	observer Observer
	presumer Presumer // the observer, if it is one

	// What every probe needs is side by side: there are more pairs than a processor's cache holds.
	due         instant
	place       int           // in the due queue
	interval    time.Duration // to the newest probe from the one before
	trigger     instant
	first, last int32 // the pair's probes in flight, oldest and newest
	triggered   bool
	done        bool // the observer needs no more probes
	stopped     bool // and has been told that there will be none
	deferred    bool // the next probe leaves late, for want of a source port
	overdue     overdue
	presumed    int32  // the oldest probe in flight that the presumer was not told of
	flows       int32  // that may be used again, the newest
	silent      int    // how many probes in a row have ended without an answer
	answered    bool   // one has had an answer
	ports       *ports // the target's, nil where probes have none of their own
	state       any    // the mode's own
}

func newPair(to netip.AddrPort, observer Observer, number int) pair {
	presumer, _ := observer.(Presumer)
	return pair{
		to: to, number: number, observer: observer, presumer: presumer,
		place: none, first: none, last: none, flows: none,
		overdue: overdue{next: none}, presumed: none,
	}
}
