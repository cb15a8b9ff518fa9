// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// Faults change what a cluster is told or what it wants of the kernel, and never what comes after: the
// operations are those of any other plan, so the truth log cannot tell anything but what is enforced.

// setFaults makes the cluster want what an engine with these faults would.
func (c *cluster) setFaults(f Faults) {
	rewritten := c.faults.NoExcept != f.NoExcept
	c.faults, c.never = f, f.never()
	for _, p := range c.pods {
		c.touch(p)
	}
	if !rewritten {
		return
	}
	for _, p := range c.policies {
		c.putPolicy(p.object)
	}
}

// unfiltered says whether a fault keeps the policies of a pod away from one of its addresses.
func (c *cluster) unfiltered(p *pod, f family) bool {
	return p.openings > 0 || c.faults.IPv4Only && f == ipv6
}

// misbehave does what the faults do about an event together with its enforcement, and returns what is
// left for later.
func (c *cluster) misbehave(ev event) []errand {
	later := ev.then
	if c.faults.Leak > 0 && len(c.fresh) > 0 {
		later = append(later, c.open(c.fresh, c.faults.Leak, errandCause(ev.cause, "leak ended")))
	}
	c.fresh = nil
	if c.faults.Gap > 0 && ev.cause.Kind == "NetworkPolicy" && ev.cause.Event == "updated" {
		selected := c.selectedBy(types.NamespacedName{Namespace: ev.cause.Namespace, Name: ev.cause.Name})
		later = append(later, c.open(selected, c.faults.Gap, errandCause(ev.cause, "gap ended")))
	}
	if c.faults.Flap.For > 0 && ev.undo != nil {
		later = append(later, flap(ev, c.faults.Flap))
	}
	return later
}

// selectedBy are the pods of this node that a policy selects.
func (c *cluster) selectedBy(policy types.NamespacedName) []*pod {
	var selected []*pod
	if p := c.policies[policy]; p != nil {
		for member := range p.subject.members {
			if member.Node == c.node {
				selected = append(selected, member)
			}
		}
	}
	return selected
}

// open lifts the policies of pods. The errand that it returns puts them in force again, unless the pod
// has been followed by another of its name by then.
func (c *cluster) open(pods []*pod, period time.Duration, cause truth.Cause) errand {
	uids := make([]types.UID, len(pods))
	for i, p := range pods {
		uids[i] = p.UID
		p.openings++
		c.touch(p)
	}
	shut := func(c *cluster) {
		for i, p := range pods {
			if p.UID == uids[i] {
				p.openings--
				c.touch(p)
			}
		}
	}
	return errand{event: event{cause: cause, apply: shut}, after: period, ends: true}
}

// flap is the errand that takes an event back, with the one that repeats it. Another event of the same
// object makes both of them void, because it brings the object to where it should be.
func flap(ev event, f Flap) errand {
	again := errand{
		event: event{cause: errandCause(ev.cause, "flap ended"), apply: ev.apply},
		after: f.For, about: ev.key(), ends: true,
	}
	back := event{cause: errandCause(ev.cause, "flap began"), apply: ev.undo, then: []errand{again}}
	return errand{event: back, after: f.After, about: ev.key()}
}

// freeze are the guards that a pod has now, on copies of its policies that no event reaches. The sets of
// peers are not copied: a policy may be as old as it likes, but not whom an address belongs to.
func (c *cluster) freeze(owner *pod) *guardPair {
	var pair guardPair
	for d := range pair {
		chains := c.chainsOf(owner, direction(d))
		if len(chains) == 0 {
			continue
		}
		for i, pc := range chains {
			chains[i] = &policyChain{id: fmt.Sprintf("%s for pod %s", pc.id, owner.UID), want: pc.want}
		}
		pair[d] = newGuard(direction(d), chains)
	}
	return &pair
}

// withoutExceptions is a policy whose blocks have none.
func withoutExceptions(object *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	object = object.DeepCopy()
	for _, r := range object.Spec.Ingress {
		dropExceptions(r.From)
	}
	for _, r := range object.Spec.Egress {
		dropExceptions(r.To)
	}
	return object
}

func dropExceptions(peers []networkingv1.NetworkPolicyPeer) {
	for _, peer := range peers {
		if peer.IPBlock != nil {
			peer.IPBlock.Except = nil
		}
	}
}
