// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// State is what one engine's table in the kernel holds. Its zero value is a kernel without the
// table, which lets everything pass. Only Apply changes it.
type State struct {
	Table     *Table
	Sets      map[string]Set
	Policies  map[string]Policy
	Guards    map[string]Guard
	Addresses map[netip.Addr]Address
	// members turns the memberships of Addresses round: it has every set that is not a block.
	members map[string]map[Member]struct{}
}

// Apply carries out one operation and returns the one that undoes it, except for KindTable, which
// cannot be undone.
func (s *State) Apply(op Op) Op {
	undo := Op{Kind: op.Kind, ID: op.ID}
	switch op.Kind {
	case KindTable:
		s.reset(op.Table)
	case KindRefusal:
		before := s.Table.Refusal
		undo.Refusal = &before
		s.Table = &Table{PodCIDRs: s.Table.PodCIDRs, Refusal: *op.Refusal}
	case KindSet:
		undo.Set = s.replaceSet(op.ID, op.Set)
	case KindPolicy:
		undo.Policy = replace(s.Policies, op.ID, op.Policy)
	case KindGuard:
		undo.Guard = replace(s.Guards, op.ID, op.Guard)
	case KindAddress:
		undo.Address = s.replaceAddress(netip.MustParseAddr(op.ID), op.Address)
	default:
		panic(fmt.Sprintf("truth: operation of unknown kind %q", op.Kind))
	}

	return undo
}

func (s *State) reset(table *Table) {
	*s = State{
		Table:     table,
		Sets:      map[string]Set{},
		Policies:  map[string]Policy{},
		Guards:    map[string]Guard{},
		Addresses: map[netip.Addr]Address{},
		members:   map[string]map[Member]struct{}{},
	}
}

// replace returns the value that was there before, nil if none was.
func replace[K comparable, V any](in map[K]V, key K, value *V) *V {
	before, had := in[key]
	if value == nil {
		delete(in, key)
	} else {
		in[key] = *value
	}
	if !had {
		return nil
	}
	return &before
}

// replaceSet makes a set with its members, or takes it away from all of them.
func (s *State) replaceSet(id string, set *Set) *Set {
	var undoMembers []Member
	for m := range s.members[id] {
		undoMembers = append(undoMembers, m)
		row := s.Addresses[m.Address]
		row.Sets = slices.DeleteFunc(slices.Clone(row.Sets), func(in Membership) bool {
			return in.Set == id
		})
		s.Addresses[m.Address] = row
	}

	delete(s.members, id)
	if set != nil && set.Block == nil {
		s.members[id] = make(map[Member]struct{}, len(set.Members))
		for _, m := range set.Members {
			s.join(m, id)
		}
	}

	undo := replace(s.Sets, id, set)
	if undo != nil {
		undo.Members = undoMembers
	}
	return undo
}

// join adds an address that is already there to a set.
func (s *State) join(m Member, set string) {
	row, known := s.Addresses[m.Address]
	if !known {
		return
	}
	s.members[set][m] = struct{}{}
	row.Sets = append(slices.Clone(row.Sets), Membership{Set: set, Port: m.Port})
	slices.SortFunc(row.Sets, CompareMemberships)
	s.Addresses[m.Address] = row
}

func (s *State) replaceAddress(address netip.Addr, row *Address) *Address {
	before := replace(s.Addresses, address, row)
	if before != nil {
		for _, in := range before.Sets {
			delete(s.members[in.Set], Member{address, in.Port})
		}
	}
	if row != nil {
		for _, in := range row.Sets {
			s.members[in.Set][Member{address, in.Port}] = struct{}{}
		}
	}
	return before
}

// CompareMemberships is the order of Address.Sets.
func CompareMemberships(a, b Membership) int {
	return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(a.Port, b.Port))
}

// CompareMembers is the order of Members.
func CompareMembers(a, b Member) int {
	return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port))
}

// Members are the elements of a set that is not a block, in order.
func (s *State) Members(set string) []Member {
	return slices.SortedFunc(maps.Keys(s.members[set]), CompareMembers)
}

// Verdict says whether this engine lets a new connection pass from one address to a port of
// another. The node's own packets pass through no chain of the table, so the verdict does not hold
// for them.
func (s *State) Verdict(from, to netip.Addr, protocol string, port uint16) bool {
	return s.Leaves(from, to, protocol, port) && s.Enters(from, to, protocol, port)
}

// Leaves is the half of the verdict that is about egress from the source.
func (s *State) Leaves(from, to netip.Addr, protocol string, port uint16) bool {
	row, known := s.Addresses[from]
	if !known {
		return !s.failsClosed(from)
	}
	return s.passes(row.Egress, to, to, protocol, port)
}

// Enters is the half of the verdict that is about ingress to the destination.
func (s *State) Enters(from, to netip.Addr, protocol string, port uint16) bool {
	row, known := s.Addresses[to]
	if !known {
		return !s.failsClosed(to)
	}
	return s.passes(row.Ingress, from, to, protocol, port)
}

// failsClosed says whether an address that the engine has not programmed is blocked.
func (s *State) failsClosed(address netip.Addr) bool {
	return s.Table != nil && slices.ContainsFunc(s.Table.PodCIDRs, func(p netip.Prefix) bool {
		return p.Contains(address)
	})
}

// passes says whether a guard lets a connection to destination pass whose other end is peer.
func (s *State) passes(
	guard string, peer, destination netip.Addr, protocol string, port uint16,
) bool {
	if guard == "" {
		return true
	}
	for _, policy := range s.Guards[guard].Policies {
		for _, rule := range s.Policies[policy].Rules {
			if s.matches(rule, peer, destination, protocol, port) {
				return true
			}
		}
	}
	return false
}

func (s *State) matches(r Rule, peer, destination netip.Addr, protocol string, port uint16) bool {
	if r.Peers != "" && !s.contains(r.Peers, Member{Address: peer}) {
		return false
	}
	if r.Protocol != "" && r.Protocol != protocol {
		return false
	}
	if r.Named != "" {
		return s.contains(r.Named, Member{destination, port})
	}
	return r.Last == 0 || r.First <= port && port <= r.Last
}

func (s *State) contains(set string, m Member) bool {
	if block := s.Sets[set].Block; block != nil {
		return block.Contains(m.Address)
	}
	_, is := s.members[set][m]
	return is
}
