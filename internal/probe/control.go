// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// nobody is the observer of the control pair, which belongs to nobody.
type nobody struct{}

// OnOutcome implements [Observer].
func (nobody) OnOutcome(measure.Outcome) bool { return false }

// OnOverdue implements [Observer].
func (nobody) OnOverdue(int, time.Time) {}

// OnStopped implements [Observer].
func (nobody) OnStopped() {}

// controlled is the prober of a mode, beside which the control pair is probed by TCP connections:
// whoever is there answers them.
type controlled struct {
	prober
	*workspace
	control *pair
	connect *sockets
}

// maxControls is how many control probes are in flight at most, and a few.
const maxControls = 64

func newControlled(mode prober, space *workspace, control *pair) *controlled {
	return &controlled{
		prober: mode, workspace: space, control: control,
		connect: newSockets(space, connect{}, maxControls),
	}
}

// of is the prober of a pair.
func (m *controlled) of(p *pair) prober {
	if p == m.control {
		return m.connect
	}
	return m.prober
}

func (m *controlled) add(p *pair)      { m.of(p).add(p) }
func (m *controlled) remove(p *pair)   { m.of(p).remove(p) }
func (m *controlled) release(e *entry) { m.of(e.pair).release(e) }

func (m *controlled) launch(batch []int32, replies []reply) []reply {
	mode := batch[:0]
	for k, i := range batch {
		if m.table.entries[i].pair == m.control {
			replies = m.connect.launch(batch[k:k+1], replies)
		} else {
			mode = append(mode, i)
		}
	}
	return m.prober.launch(mode, replies)
}

// ready asks both: a socket that is not its own is nothing to either.
func (m *controlled) ready(socket int32, events uint32, replies []reply) []reply {
	return m.prober.ready(socket, events, m.connect.ready(socket, events, replies))
}

func (m *controlled) close() error { return errors.Join(m.prober.close(), m.connect.close()) }
