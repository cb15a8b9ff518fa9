// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// batchSize is the most probes that are launched at once: those of one call to the kernel share a
// stamp, which is off by the time that all of them take, about 0.1 ms.
const batchSize = packet.BatchSize

// prober is how a mode probes. It belongs to the worker's thread, and only tells what has happened:
// the worker evaluates it when the call has returned, so that no probe ends, and no socket is taken
// away, in the middle of a batch.
type prober interface {
	// add readies a pair, before its first probe.
	add(p *pair)
	// remove releases what the mode holds for a pair, after its last probe.
	remove(p *pair)
	// launch sends probes, and sets when. It adds the replies of those that have theirs already.
	launch(batch []int32, replies []reply) []reply
	// ready deals with the event of a socket that the poller watches, by the number that the mode
	// gave it.
	ready(number int32, events uint32, replies []reply) []reply
	// poll reads answers that need no event; the worker calls it once in so long while probes are
	// in flight, never if that is 0.
	poll(replies []reply) []reply
	pollInterval() time.Duration
	// release gives up a probe's own socket.
	release(e *entry)
	// close releases what the mode holds.
	close() error
}

// workspace is what a worker shares with its mode.
type workspace struct {
	clock     clock
	table     *inFlightTable
	poller    *poller
	conntrack *conntrack
}

// newWorkspace has room for so many probes in flight.
func newWorkspace(most int) (*workspace, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &workspace{clock: newClock(), table: newInFlightTable(most), poller: poller}, nil
}
