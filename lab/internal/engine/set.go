// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// elementsPerMessage keeps a message below the 64 KiB that a netlink attribute can have;
// elementBytes is a low estimate of what an element takes in it.
const (
	elementsPerMessage = 400
	elementBytes       = 32 * elementsPerMessage
)

// setName is the kernel's name of a set's part in one family.
func setName(id string, f family) string { return "set-" + digest(id) + "-" + f.String() }

// addMap makes an empty map from addresses to verdicts.
func (k *kernel) addMap(name string, f family) {
	k.add(&nftables.Set{Name: name, IsMap: true, KeyType: addressType(f), DataType: nftables.TypeVerdict})
}

// addSet makes a set with the members that it has after the transaction.
func (k *kernel) addSet(id string, s truth.Set) {
	if s.Block != nil {
		f := familyOf(s.Block.CIDR.Addr())
		set := &nftables.Set{Name: setName(id, f), Interval: true, KeyType: addressType(f), Comment: shorten(id)}
		k.add(set)
		k.inPortions(set, blockElements(*s.Block), k.conn.SetAddElements)
		return
	}
	var members elements
	for _, m := range k.state.Members(id) {
		members.add(element{id, m}, "")
	}
	for _, f := range families {
		set := &nftables.Set{Name: setName(id, f), KeyType: addressType(f), Comment: shorten(id)}
		if s.Ports {
			set.KeyType = nftables.MustConcatSetType(addressType(f), nftables.TypeInetService)
			set.Concatenation = true
		}
		k.add(set)
	}
	k.addElements(members)
}

// add hands a set to the connection with an ID of our own: that of the library is shared by all
// connections of the process.
func (k *kernel) add(set *nftables.Set) {
	k.lastSet++
	set.Table, set.ID = k.table, k.lastSet
	// AddSet fails on anonymous sets only; those have an ID of their own.
	_ = k.conn.AddSet(set, nil)
}

func (k *kernel) delSet(id string, s truth.Set) {
	for _, f := range families {
		if s.Block == nil || familyOf(s.Block.CIDR.Addr()) == f {
			k.conn.DelSet(&nftables.Set{Table: k.table, Name: setName(id, f)})
		}
	}
}

func addressType(f family) nftables.SetDatatype {
	if f == ipv4 {
		return nftables.TypeIPAddr
	}
	return nftables.TypeIP6Addr
}

// element is a member of a set, or of the dispatch map of a direction, which has the direction's name.
type element struct {
	id string
	truth.Member
}

// describe collects the elements that the row of an address stands for. Those of the dispatch maps have
// a verdict: the chain to go to, or nothing for accept.
func describe(into map[element]string, address netip.Addr, row truth.Address) {
	member := truth.Member{Address: address}
	for d, guard := range map[direction]string{ingress: row.Ingress, egress: row.Egress} {
		into[element{d.String(), member}] = guard
	}
	for _, in := range row.Sets {
		into[element{in.Set, truth.Member{Address: address, Port: in.Port}}] = ""
	}
}

// elements are the elements to add to or to delete from each of the kernel's sets, by its name.
type elements map[string][]nftables.SetElement

func (e *elements) add(at element, guard string) {
	if *e == nil {
		*e = elements{}
	}
	f := familyOf(at.Address)
	name := setName(at.id, f)
	new := nftables.SetElement{Key: elementKey(at.Member)}
	for _, d := range [...]direction{ingress, egress} {
		if at.id != d.String() {
			continue
		}
		name = dispatchMap(d, f)
		new.VerdictData = &expr.Verdict{Kind: expr.VerdictAccept}
		if guard != "" {
			new.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: guardChain(guard)}
		}
	}
	(*e)[name] = append((*e)[name], new)
}

func (k *kernel) addElements(e elements) {
	for name, list := range e {
		k.inPortions(&nftables.Set{Table: k.table, Name: name}, list, k.conn.SetAddElements)
	}
}

func (k *kernel) deleteElements(e elements) {
	for name, list := range e {
		for i := range list {
			list[i].VerdictData = nil // the key is enough
		}
		k.inPortions(&nftables.Set{Table: k.table, Name: name}, list, k.conn.SetDeleteElements)
	}
}

func (k *kernel) inPortions(set *nftables.Set, list []nftables.SetElement, do func(*nftables.Set, []nftables.SetElement) error) {
	for portion := range slices.Chunk(list, elementsPerMessage) {
		// The library fails on anonymous sets only.
		_ = do(set, portion)
	}
}

// blockElements are the borders of the ranges of a block, as interval sets have them.
func blockElements(b truth.Block) []nftables.SetElement {
	var borders []nftables.SetElement
	for _, r := range blockRanges(b) {
		borders = append(borders, nftables.SetElement{Key: r.first.AsSlice()})
		if next := r.last.Next(); next.IsValid() {
			borders = append(borders, nftables.SetElement{Key: next.AsSlice(), IntervalEnd: true})
		}
	}
	return borders
}

// addressRange is a range with both ends included.
type addressRange struct{ first, last netip.Addr }

func rangeOf(p netip.Prefix) addressRange {
	last := p.Addr().AsSlice()
	for i, m := range mask(p) {
		last[i] |= ^m
	}
	end, _ := netip.AddrFromSlice(last)
	return addressRange{p.Addr(), end}
}

// blockRanges are the parts of a block between its exceptions, in order. Two of them never touch.
func blockRanges(b truth.Block) []addressRange {
	whole := rangeOf(b.CIDR.Masked())
	exceptions := make([]addressRange, 0, len(b.Except))
	for _, e := range b.Except {
		if b.CIDR.Overlaps(e) {
			exceptions = append(exceptions, rangeOf(e.Masked()))
		}
	}
	slices.SortFunc(exceptions, func(x, y addressRange) int { return bytes.Compare(x.first.AsSlice(), y.first.AsSlice()) })
	var ranges []addressRange
	first := whole.first
	for _, e := range exceptions {
		if first.Less(e.first) {
			ranges = append(ranges, addressRange{first, e.first.Prev()})
		}
		if next := e.last.Next(); !next.IsValid() || whole.last.Less(next) {
			return ranges
		} else if first.Less(next) {
			first = next
		}
	}
	return append(ranges, addressRange{first, whole.last})
}
