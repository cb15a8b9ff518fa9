// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"net/netip"
	"time"
)

// Pair is a question to the log: may one pod open connections to a port of another pod's address?
type Pair struct {
	FromUID  string
	ToUID    string
	To       netip.Addr // the source is the client's address of the same family
	Protocol string     // TCP, UDP or SCTP
	Port     uint16
}

// Flip is a moment at which the verdict of a pair became another one.
type Flip struct {
	// Before and After bound the moment, as in the Record.
	Before, After time.Time
	Allowed       bool
	Causes        []Cause
}

// Flips answers, for each pair, when its verdict changed. Every pair starts blocked: the engine has
// not heard of its pods yet. It ends blocked when one of the pods is gone.
func Flips(records []Record, pairs ...Pair) [][]Flip {
	r := replay{nodes: map[string]*State{}, rows: map[string]map[netip.Addr]string{},
		byUID: map[string][]int{}}
	for i, p := range pairs {
		r.byUID[p.FromUID] = append(r.byUID[p.FromUID], i)
		r.byUID[p.ToUID] = append(r.byUID[p.ToUID], i)
	}

	flips := make([][]Flip, len(pairs))
	allowed := make([]bool, len(pairs))
	for _, record := range records {
		touched := r.apply(record, len(pairs))
		for _, i := range touched {
			if now := r.allows(pairs[i]); now != allowed[i] {
				allowed[i] = now
				flips[i] = append(flips[i], Flip{record.Before, record.After, now, record.Causes})
			}
		}
	}

	return flips
}

// replay is the log up to some record.
type replay struct {
	nodes map[string]*State
	// rows are the addresses of each pod, with the node that guards them.
	rows  map[string]map[netip.Addr]string
	byUID map[string][]int // pairs that a pod is one end of
}

// apply carries a record out and returns the pairs that it may have changed: those of the pods that
// it touches, all of them when it touches what pods share. An index may come up twice.
func (r *replay) apply(record Record, pairs int) []int {
	state := r.nodes[record.Node]
	if state == nil {
		state = &State{}
		r.nodes[record.Node] = state
	}

	var touched []int
	everybody := false
	for _, op := range record.Ops {
		if op.Kind == KindTable {
			r.restart(record.Node)
		}
		undo := state.Apply(op)
		everybody = everybody || op.Kind != KindAddress
		for _, row := range []*Address{undo.Address, op.Address} {
			if row != nil {
				touched = append(touched, r.byUID[row.UID]...)
			}
		}
		r.move(record.Node, op.ID, undo.Address, op.Address)
	}

	if !everybody {
		return touched
	}
	touched = touched[:0]
	for i := range pairs {
		touched = append(touched, i)
	}

	return touched
}

// move keeps rows in step with an address operation of the node that guards the address.
func (r *replay) move(node, id string, before, after *Address) {
	if before != nil && before.Node == node {
		delete(r.rows[before.UID], netip.MustParseAddr(id))
	}
	if after != nil && after.Node == node {
		if r.rows[after.UID] == nil {
			r.rows[after.UID] = map[netip.Addr]string{}
		}
		r.rows[after.UID][netip.MustParseAddr(id)] = node
	}
}

// restart takes back what a node said, because its table starts anew.
func (r *replay) restart(node string) {
	for _, addresses := range r.rows {
		for address, guardedBy := range addresses {
			if guardedBy == node {
				delete(addresses, address)
			}
		}
	}
}

// allows asks the engines of both nodes that the connection passes.
func (r *replay) allows(p Pair) bool {
	there, live := r.rows[p.ToUID][p.To]
	if !live {
		return false
	}
	for from, here := range r.rows[p.FromUID] {
		if from.Is4() == p.To.Is4() {
			return r.nodes[here].Verdict(from, p.To, p.Protocol, p.Port) &&
				(here == there || r.nodes[there].Verdict(from, p.To, p.Protocol, p.Port))
		}
	}
	return false
}
