// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// What the kernel should have is counted by who uses it: addresses use guards, guards use chains of
// policies, chains use sets. A policy that selects no pod of the node costs the kernel nothing.

// planner collects the operations of one plan. Their order is such that the kernel is in a sane
// state after each of them: what rules need is there before the rules, a pod changes its guards in
// one step, and what it left behind goes last.
type planner struct {
	*cluster
	// The operations, in the order of the fields.
	setOps, policyOps, guardOps, addressOps, cleanUpOps []truth.Op
	// The guards found for pods so far.
	found map[*pod]guardPair
	// What is used for the first time, and what is not used any more.
	newSets    []*set
	idleGuards []*guard
	idleChains []*policyChain
	idleSets   []*set
}

// plan returns the operations that lead from the state of the last plan to that of the events
// since.
func (c *cluster) plan() []truth.Op {
	p := planner{cluster: c, found: map[*pod]guardPair{}}
	touched := slices.SortedFunc(maps.Keys(c.touchedAddresses), netip.Addr.Compare)
	left := make([]guardPair, 0, len(touched))
	for _, a := range touched {
		left = append(left, c.guarding[a])
		p.guardAddress(a)
	}

	// New guards are in use before the old ones are released, so that what both need is neither
	// removed nor made again.
	p.updateChains()
	for _, pair := range left {
		p.release(pair)
	}
	for _, s := range p.newSets {
		p.makeSet(s)
	}

	// Rows of addresses name guards and sets, which must be in the wanted state by then.
	for _, op := range slices.Concat(p.policyOps, p.guardOps) {
		c.wanted.Apply(op)
	}
	for _, a := range touched {
		p.planAddress(a)
	}

	// What is blocked from now on goes first.
	slices.SortStableFunc(p.addressOps, func(a, b truth.Op) int {
		return cmp.Compare(puts(a), puts(b))
	})
	p.cleanUp()
	clear(c.touchedAddresses)
	clear(c.touchedChains)
	c.fresh = nil
	return slices.Concat(p.setOps, p.policyOps, p.guardOps, p.addressOps, p.cleanUpOps)
}

func puts(op truth.Op) int {
	if op.Removes() {
		return 0
	}
	return 1
}

// guardAddress finds the guards of an address and uses them.
func (p *planner) guardAddress(a netip.Addr) {
	owner := p.owner(a)
	if owner == nil {
		delete(p.guarding, a)
		return
	}

	var pair guardPair
	if owner.Node == p.node && !p.unfiltered(owner, familyOf(a)) {
		pair = p.guardsOf(owner)
	}
	for _, g := range pair {
		p.use(g)
	}
	p.guarding[a] = pair
}

// guardsOf finds the guards of a pod of the node, once in a plan. Whoever asks for them uses them.
func (p *planner) guardsOf(owner *pod) guardPair {
	pair, found := p.found[owner]
	if found {
		return pair
	}
	if p.never.Matches(owner.Labels) {
		if owner.frozen == nil {
			owner.frozen = p.freeze(owner)
		}
		pair = *owner.frozen
	} else {
		owner.frozen = nil
		for d := range pair {
			pair[d] = p.guardOf(owner, direction(d))
		}
	}

	p.found[owner] = pair
	return pair
}

func (p *planner) use(g *guard) {
	if g == nil {
		return
	}
	g.users++
	if g.users > 1 {
		return
	}

	p.guardOps = append(p.guardOps, truth.Op{Kind: truth.KindGuard, ID: g.id,
		Guard: &truth.Guard{Policies: policyIDs(g.chains)}})
	for _, pc := range g.chains {
		pc.users++
		if pc.have == nil {
			p.program(pc)
		}
	}
}

// program brings a chain in the kernel to what its policy says.
func (p *planner) program(pc *policyChain) {
	before := pc.have
	pc.have = pc.want
	for id, from := range pc.have.sets {
		p.useSet(id, from)
	}
	p.policyOps = append(p.policyOps, truth.Op{Kind: truth.KindPolicy, ID: pc.id,
		Policy: &truth.Policy{Rules: pc.have.rules}})
	if before != nil {
		p.releaseSets(before)
	}
}

func (p *planner) useSet(id string, from origin) {
	s := p.sets[id]
	if s == nil {
		s = &set{id: id, from: from}
		p.sets[id] = s
		p.newSets = append(p.newSets, s)
		if from.selection != nil {
			s.group = p.group(*from.selection)
			s.group.set = s
		}
	}
	s.users++
}

// updateChains programs the chains whose policies changed and that the kernel has already.
func (p *planner) updateChains() {
	for pc := range p.touchedChains {
		switch {
		case pc.users == 0 && !pc.owned:
			delete(p.chains, pc.id)
		case pc.users > 0 && pc.owned && !slices.Equal(pc.have.rules, pc.want.rules):
			p.program(pc)
		}
	}
}

func (p *planner) release(pair guardPair) {
	for _, g := range pair {
		if g == nil {
			continue
		}
		if g.users--; g.users == 0 {
			p.idleGuards = append(p.idleGuards, g)
			for _, pc := range g.chains {
				if pc.users--; pc.users == 0 {
					p.idleChains = append(p.idleChains, pc)
					p.releaseSets(pc.have)
				}
			}
		}
	}
}

func (p *planner) releaseSets(of *chain) {
	for id := range of.sets {
		s := p.sets[id]
		if s.users--; s.users == 0 {
			p.idleSets = append(p.idleSets, s)
		}
	}
}

// makeSet makes a set that a policy of this plan is the first to use. Members are the addresses
// that the kernel has; those that it gets with this plan bring their memberships along.
func (p *planner) makeSet(s *set) {
	op := truth.Op{Kind: truth.KindSet, ID: s.id, Set: p.contents(s)}
	p.wanted.Apply(op)
	p.setOps = append(p.setOps, op)
}

func (p *planner) contents(s *set) *truth.Set {
	switch {
	case s.from.block != nil:
		return &truth.Set{Block: s.from.block}
	case s.group != nil:
		return &truth.Set{Pods: true, Members: p.members(maps.Keys(s.group.members), s)}
	default:
		return &truth.Set{Ports: true, Members: p.members(maps.Values(p.pods), s)}
	}
}

// planAddress replaces what the kernel has for an address.
func (p *planner) planAddress(a netip.Addr) {
	before, had := p.wanted.Addresses[a]
	owner := p.owner(a)
	op := truth.Op{Kind: truth.KindAddress, ID: a.String()}
	if owner != nil {
		row := p.row(owner, p.guarding[a])
		if had && before.Equal(row) {
			return
		}
		op.Address = &row
	} else if !had {
		return
	}

	p.wanted.Apply(op)
	p.addressOps = append(p.addressOps, op)
}

func (c *cluster) row(owner *pod, guards guardPair) truth.Address {
	row := truth.Address{
		Namespace: owner.Namespace, Pod: owner.Name, UID: string(owner.UID), Node: owner.Node,
		Sets: c.memberships(owner),
	}
	if g := guards[ingress]; g != nil {
		row.Ingress = g.id
	}
	if g := guards[egress]; g != nil {
		row.Egress = g.id
	}
	return row
}

// memberships include those in sets that nothing uses any more, for as long as the kernel has them:
// a pod that still has its old guard when this one gets its new one must not miss it.
func (c *cluster) memberships(p *pod) []truth.Membership {
	var in []truth.Membership
	for g := range p.groups {
		if g.set != nil {
			in = append(in, truth.Membership{Set: g.id})
		}
	}

	for _, port := range p.Ports {
		if c.sets[port.id] != nil {
			in = append(in, truth.Membership{Set: port.id, Port: port.number})
		}
	}

	slices.SortFunc(in, truth.CompareMemberships)
	return slices.Compact(in)
}

// cleanUp removes what nothing uses after the plan.
func (p *planner) cleanUp() {
	remove := func(kind truth.Kind, id string) {
		op := truth.Op{Kind: kind, ID: id}
		p.wanted.Apply(op)
		p.cleanUpOps = append(p.cleanUpOps, op)
	}

	for _, g := range p.idleGuards {
		remove(truth.KindGuard, g.id)
		delete(p.guards, strings.Join(policyIDs(g.chains), "\n"))
	}
	for _, pc := range p.idleChains {
		remove(truth.KindPolicy, pc.id)
		pc.have = nil
		if !pc.owned {
			delete(p.chains, pc.id)
		}
	}

	for _, s := range p.idleSets {
		if s.users > 0 || p.sets[s.id] != s {
			continue // a later policy of the plan uses it again, or it is removed already
		}
		remove(truth.KindSet, s.id)
		delete(p.sets, s.id)
		if s.group != nil {
			s.group.set = nil
			p.dropUnused(s.group)
		}
	}
}
