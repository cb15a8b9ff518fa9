// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// commit carries out operations in one transaction and returns the times just before and just
// after.
func (k *kernel) commit(ops []truth.Op) (before, after time.Time, err error) {
	k.encode(ops)
	before = time.Now()
	err = k.conn.Flush()
	after = time.Now()
	if err != nil {
		return before, after, fmt.Errorf("commit an nftables transaction of %d operations: %w",
			len(ops), err)
	}
	return before, after, nil
}

// encode turns operations into messages and brings the copy of the state up to date. What several
// operations do to one object becomes the difference between before and after. (A set that rules
// may be using changes through the rows of its members only; plan never puts one that is there.)
func (k *kernel) encode(ops []truth.Op) {
	if i := slices.IndexFunc(ops, func(op truth.Op) bool {
		return op.Kind == truth.KindTable
	}); i >= 0 {
		k.state.Apply(ops[i])
		k.makeTable()
		ops = ops[i+1:]
	}

	d := newDifference()
	for _, op := range ops {
		d.note(k.state.Apply(op))
	}
	if d.refusal {
		k.conn.FlushChain(k.chain(refuseChain))
		k.refuse()
	}

	for id, before := range d.sets {
		if after, is := k.state.Sets[id]; is && before == nil {
			k.addSet(id, after)
		}
	}

	for id, before := range d.policies {
		if policy, is := k.state.Policies[id]; is {
			k.putPolicy(id, policy, before != nil)
		}
	}

	for id, before := range d.guards {
		if guard, is := k.state.Guards[id]; is {
			k.putGuard(id, guard, before != nil)
		}
	}

	k.changeElements(d)
	k.removeLeftovers(d)
}

// difference has what objects were before a transaction, nil for those that were not there.
type difference struct {
	refusal   bool
	sets      map[string]*truth.Set
	policies  map[string]*truth.Policy
	guards    map[string]*truth.Guard
	addresses map[string]*truth.Address
}

func newDifference() *difference {
	return &difference{
		sets:      map[string]*truth.Set{},
		policies:  map[string]*truth.Policy{},
		guards:    map[string]*truth.Guard{},
		addresses: map[string]*truth.Address{},
	}
}

// note takes an operation that undoes one of the transaction, in the order of the latter.
func (d *difference) note(undo truth.Op) {
	switch undo.Kind {
	case truth.KindRefusal:
		d.refusal = true
	case truth.KindSet:
		noteFirst(d.sets, undo.ID, undo.Set)
	case truth.KindPolicy:
		noteFirst(d.policies, undo.ID, undo.Policy)
	case truth.KindGuard:
		noteFirst(d.guards, undo.ID, undo.Guard)
	case truth.KindAddress:
		noteFirst(d.addresses, undo.ID, undo.Address)
	}
}

func noteFirst[V any](in map[string]*V, id string, before *V) {
	if _, noted := in[id]; !noted {
		in[id] = before
	}
}

// changeElements brings the dispatch maps and the sets to what the addresses' rows say. Elements of
// a set that comes or goes with the transaction come and go with it.
func (k *kernel) changeElements(d *difference) {
	gone, come := newElements(), newElements()
	var old, current []element
	for id, before := range d.addresses {
		address := netip.MustParseAddr(id)
		old, current = old[:0], current[:0]
		if before != nil {
			old = describe(old, address, *before)
		}

		if after, is := k.state.Addresses[address]; is {
			current = describe(current, address, after)
		}
		for _, e := range old {
			if _, setChanges := d.sets[e.id]; !setChanges && !slices.Contains(current, e) {
				gone.remove(e)
			}
		}

		for _, e := range current {
			if _, setChanges := d.sets[e.id]; !setChanges && !slices.Contains(old, e) {
				come.add(e)
			}
		}
	}

	k.hand(gone, k.conn.SetDeleteElements)
	k.hand(come, k.conn.SetAddElements)
}

// removeLeftovers removes what nothing refers to any more, users before what they use.
func (k *kernel) removeLeftovers(d *difference) {
	for id, before := range d.guards {
		if _, is := k.state.Guards[id]; !is && before != nil {
			k.conn.DelChain(k.chain(guardChain(id)))
		}
	}

	for id, before := range d.policies {
		if _, is := k.state.Policies[id]; !is && before != nil {
			k.conn.DelChain(k.chain(policyChainName(id)))
		}
	}

	for id, before := range d.sets {
		if _, is := k.state.Sets[id]; !is && before != nil {
			k.delSet(id, *before)
		}
	}
}
