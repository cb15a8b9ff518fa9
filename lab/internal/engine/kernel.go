// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// tableName is the nftables table that holds everything that the engine does.
const tableName = "netpol_latency_lab"

// socketBuffer is the buffer size, in bytes, that the engine asks for. Without privileges outside of
// the namespace the kernel gives less, and large changes take several transactions.
const socketBuffer = 32 << 20

// kernel is the engine's table in the namespace in which openKernel was called, with a copy of what it
// holds. One goroutine uses it.
type kernel struct {
	conn    *nftables.Conn
	table   *nftables.Table
	state   truth.State
	lastSet uint32
	// What a transaction may take: bytes to the kernel, and bytes of its acknowledgements.
	sendBudget, receiveBudget int
}

// openKernel connects to the nftables of the calling thread's network namespace.
func openKernel() (*kernel, error) {
	k := &kernel{table: &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(k.sizeBuffers))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	k.conn = conn
	return k, nil
}

func (k *kernel) close() error { return k.conn.CloseLasting() }

// sizeBuffers makes the socket's buffers as large as it may, and notes how large they became.
func (k *kernel) sizeBuffers(conn *netlink.Conn) error {
	if err := conn.SetWriteBuffer(socketBuffer); err != nil {
		return err
	}
	if err := conn.SetReadBuffer(socketBuffer); err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr, receiveErr error
	err = raw.Control(func(fd uintptr) {
		k.sendBudget, sendErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		k.receiveBudget, receiveErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	for _, e := range []error{err, sendErr, receiveErr} {
		if e != nil {
			return fmt.Errorf("read the size of the netlink buffers: %w", e)
		}
	}
	return nil
}

// exists says whether the namespace has a table of ours, from an engine before this one.
func (k *kernel) exists() (bool, error) {
	tables, err := k.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("list the nftables tables: %w", err)
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == tableName }), nil
}

// fits is how many operations, at least one, a transaction may start with for its messages and their
// acknowledgements to fit into the socket's buffers. The costs are generous estimates.
func (k *kernel) fits(ops []truth.Op) int {
	const perMessage = 1500 // what an acknowledgement, or a rule sent back, takes of the receive buffer
	var bytes, messages int
	for i, op := range ops {
		switch op.Kind {
		case truth.KindTable:
			bytes, messages = bytes+10000, messages+50
		case truth.KindAddress:
			bytes += 400
			if op.Address != nil {
				bytes += 120 * len(op.Address.Sets)
			}
		case truth.KindSet:
			bytes, messages = bytes+1000, messages+6
			if op.Set != nil {
				bytes += 80*len(op.Set.Members) + 80
			}
		case truth.KindPolicy:
			bytes, messages = bytes+300, messages+2
			if op.Policy != nil {
				bytes, messages = bytes+1600*len(op.Policy.Rules), messages+2*len(op.Policy.Rules)
			}
		case truth.KindGuard:
			bytes, messages = bytes+500, messages+3
			if op.Guard != nil {
				bytes, messages = bytes+400*len(op.Guard.Policies), messages+len(op.Guard.Policies)
			}
		}
		if i > 0 && (bytes > k.sendBudget*3/4 || perMessage*(messages+bytes/elementBytes) > k.receiveBudget*3/4) {
			return i
		}
	}
	return len(ops)
}

// commit carries out operations in one transaction and returns the times just before and just after.
func (k *kernel) commit(ops []truth.Op) (before, after time.Time, err error) {
	k.encode(ops)
	before = time.Now()
	err = k.conn.Flush()
	after = time.Now()
	if err != nil {
		return before, after, fmt.Errorf("commit an nftables transaction of %d operations: %w", len(ops), err)
	}
	return before, after, nil
}

// encode turns operations into messages and brings the copy of the state up to date. What several
// operations do to one object becomes the difference between before and after. (A set that rules may be
// using changes through the rows of its members only; plan never puts one that is there.)
func (k *kernel) encode(ops []truth.Op) {
	if i := slices.IndexFunc(ops, func(op truth.Op) bool { return op.Kind == truth.KindTable }); i >= 0 {
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

// changeElements brings the dispatch maps and the sets to what the addresses' rows say. Elements of a
// set that comes or goes with the transaction come and go with it.
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
