// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// guardOf returns nil if no policy isolates the pod in this direction.
func (c *cluster) guardOf(owner *pod, d direction) *guard {
	chains := c.chainsOf(owner, d)
	if len(chains) == 0 {
		return nil
	}
	key := strings.Join(policyIDs(chains), "\n")
	if c.guards[key] == nil {
		c.guards[key] = newGuard(d, chains)
	}
	return c.guards[key]
}

func newGuard(d direction, chains []*policyChain) *guard {
	return &guard{id: d.String() + " " + digest(strings.Join(policyIDs(chains), "\n")),
		chains: chains}
}

// chainsOf are one direction of the policies that select a pod, in order.
func (c *cluster) chainsOf(owner *pod, d direction) []*policyChain {
	var chains []*policyChain
	for g := range owner.groups {
		for policy := range g.subjects {
			if pc := policy.chains[d]; pc != nil {
				chains = append(chains, pc)
			}
		}
	}
	slices.SortFunc(chains, func(a, b *policyChain) int { return cmp.Compare(a.id, b.id) })
	return chains
}

func policyIDs(chains []*policyChain) []string {
	ids := make([]string, len(chains))
	for i, pc := range chains {
		ids[i] = pc.id
	}
	return ids
}

// freeze are the guards that a pod has now, on copies of its policies that no event reaches. The
// sets of peers are not copied: a policy may be as old as it likes, but not whom an address belongs
// to.
func (c *cluster) freeze(owner *pod) *guardPair {
	var pair guardPair
	for d := range pair {
		chains := c.chainsOf(owner, direction(d))
		if len(chains) == 0 {
			continue
		}
		for i, pc := range chains {
			chains[i] = &policyChain{id: fmt.Sprintf("%s for pod %s", pc.id, owner.UID),
				want: pc.want}
		}
		pair[d] = newGuard(direction(d), chains)
	}

	return &pair
}

// unfiltered says whether a fault keeps the policies of a pod away from one of its addresses.
func (c *cluster) unfiltered(p *pod, f family) bool {
	return p.openings > 0 || c.faults.IPv4Only && f == ipv6
}
