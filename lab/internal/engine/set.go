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

// addMap makes an empty map from addresses to verdicts.
func (k *kernel) addMap(name string, f family) {
	k.add(&nftables.Set{Name: name, IsMap: true, KeyType: addressType(f),
		DataType: nftables.TypeVerdict})
}

// addSet makes a set with the members that it has after the transaction.
func (k *kernel) addSet(id string, s truth.Set) {
	if s.Block != nil {
		f := familyOf(s.Block.CIDR.Addr())
		set := &nftables.Set{Name: setName(id, f), Interval: true, KeyType: addressType(f),
			Comment: shorten(id)}
		k.add(set)
		k.inPortions(set, blockElements(*s.Block), k.conn.SetAddElements)
		return
	}

	members := newElements()
	for _, m := range k.state.Members(id) {
		members.add(element{id: id, Member: m})
	}
	for _, f := range families {
		set := &nftables.Set{Name: setName(id, f), KeyType: addressType(f), Comment: shorten(id)}
		if s.Ports {
			set.KeyType = nftables.MustConcatSetType(addressType(f), nftables.TypeInetService)
			set.Concatenation = true
		}
		k.add(set)
	}
	k.hand(members, k.conn.SetAddElements)
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

// element is a member of a set, or of the dispatch map of a direction, whose id is the direction's
// name. Elements of a dispatch map say which guard to go to, or none for accept.
type element struct {
	id string
	truth.Member
	guard string
}

// describe appends the elements that the row of an address stands for.
func describe(all []element, address netip.Addr, row truth.Address) []element {
	member := truth.Member{Address: address}
	all = append(all, element{ingress.String(), member, row.Ingress},
		element{egress.String(), member, row.Egress})
	for _, in := range row.Sets {
		all = append(all, element{in.Set, truth.Member{Address: address, Port: in.Port}, ""})
	}
	return all
}

// elements are what to add to or to delete from each of the kernel's sets.
type elements struct {
	lists    map[part][]nftables.SetElement
	verdicts map[string]*expr.Verdict // by guard
}

// part is one family of a set.
type part struct {
	id string
	family
}

func newElements() elements {
	return elements{map[part][]nftables.SetElement{},
		map[string]*expr.Verdict{"": {Kind: expr.VerdictAccept}}}
}

// name is the kernel's name of the set.
func (p part) name() string {
	for _, d := range [...]direction{ingress, egress} {
		if p.id == d.String() {
			return dispatchMap(d, p.family)
		}
	}
	return setName(p.id, p.family)
}

func (e elements) add(at element) {
	to := part{at.id, familyOf(at.Address)}
	added := nftables.SetElement{Key: elementKey(at.Member)}
	if at.id == ingress.String() || at.id == egress.String() {
		if e.verdicts[at.guard] == nil {
			e.verdicts[at.guard] = &expr.Verdict{Kind: expr.VerdictGoto,
				Chain: guardChain(at.guard)}
		}
		added.VerdictData = e.verdicts[at.guard]
	}
	e.lists[to] = append(e.lists[to], added)
}

// remove needs no verdict: the key is enough.
func (e elements) remove(at element) {
	from := part{at.id, familyOf(at.Address)}
	e.lists[from] = append(e.lists[from], nftables.SetElement{Key: elementKey(at.Member)})
}

// hand gives all elements to a function of the connection.
func (k *kernel) hand(e elements, to func(*nftables.Set, []nftables.SetElement) error) {
	for part, list := range e.lists {
		k.inPortions(&nftables.Set{Table: k.table, Name: part.name()}, list, to)
	}
}

func (k *kernel) inPortions(
	set *nftables.Set, list []nftables.SetElement, do func(*nftables.Set,
		[]nftables.SetElement) error,
) {
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

	slices.SortFunc(exceptions, func(x, y addressRange) int {
		return bytes.Compare(x.first.AsSlice(), y.first.AsSlice())
	})
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
