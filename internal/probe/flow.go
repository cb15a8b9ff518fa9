// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// A probe that nothing answers leaves an entry that stays for two minutes. The next probe of its
// pair with the same source port is to connection tracking what a SYN is that is sent again: of the
// same entry, and as new as the first, so that policy filters it anew. So a pair that is silent has
// no more entries than probes in flight, however long it is probed.
//
// An answer that was lost on its way would make the next probe of that flow part of an established
// connection, which no policy filters. So a probe's flow is used again only if all probes around it
// had no answer either.

// minSilent is how many probes of a pair in a row must have had no answer before one's flow may be
// used again.
const minSilent = measure.DefaultConfirm

// flowPool keeps the flows that pairs may use again. It never grows: one without room is not used
// again.
type flowPool struct {
	nodes []flowNode
	free  int32
}

type flowNode struct {
	flow
	next int32
}

func newFlowPool(size int) *flowPool {
	f := &flowPool{nodes: make([]flowNode, size), free: none}
	for i := range f.nodes {
		f.nodes[i].next, f.free = f.free, int32(i)
	}
	return f
}

// keep keeps a flow for the pair's next probe.
func (f *flowPool) keep(p *pair, one flow) {
	i := f.free
	if i == none {
		return
	}
	f.free = f.nodes[i].next
	f.nodes[i] = flowNode{one, p.flows}
	p.flows = i
}

// take takes the flow that the pair has kept last, if there is one: the older ones may go.
func (f *flowPool) take(p *pair) (one flow, ok bool) {
	i := p.flows
	if i == none {
		return flow{}, false
	}
	one, p.flows = f.nodes[i].flow, f.nodes[i].next
	f.nodes[i].next, f.free = f.free, i
	return one, true
}

// drop gives up all flows that the pair has kept.
func (f *flowPool) drop(p *pair) {
	for ok := true; ok; {
		_, ok = f.take(p)
	}
}

// flowsOf has room for the flows of a mode with so many probes in flight. An INIT that is sent
// again has another tag, which connection tracking need not take for the first one's.
func flowsOf(mode Mode, most int) *flowPool {
	if mode == SCTP || mode == Established {
		most = 0
	}
	return newFlowPool(most)
}
