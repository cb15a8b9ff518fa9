// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// Faults change which events a cluster gets or what it wants of the kernel, and never what comes
// after: the operations are those of any other plan, so the truth log cannot tell anything but what
// is enforced.

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

// injectFaults does what the faults do about an event together with its enforcement, and returns
// what is deferred.
func (c *cluster) injectFaults(ev event) []deferredEvent {
	later := ev.then
	if c.faults.Leak > 0 && len(c.fresh) > 0 {
		later = append(later, c.open(c.fresh, c.faults.Leak, faultCause(ev.cause, "leak ended")))
	}
	c.fresh = nil
	if c.faults.Gap > 0 && ev.cause.Kind == "NetworkPolicy" && ev.cause.Event == "updated" {
		selected := c.selectedBy(types.NamespacedName{Namespace: ev.cause.Namespace,
			Name: ev.cause.Name})
		later = append(later, c.open(selected, c.faults.Gap, faultCause(ev.cause, "gap ended")))
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

// open lifts the policies of pods. The deferred event that it returns puts them in force again,
// unless the pod has been followed by another of its name by then.
func (c *cluster) open(pods []*pod, period time.Duration, cause truth.Cause) deferredEvent {
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

	return deferredEvent{event: event{cause: cause, apply: shut}, after: period, ends: true}
}

// flap is the deferred event that takes an event back, with the one that repeats it. Another event
// of the same object makes both of them void, because it brings the object to where it should be.
func flap(ev event, f Flap) deferredEvent {
	again := deferredEvent{
		event: event{cause: faultCause(ev.cause, "flap ended"), apply: ev.apply},
		after: f.For, about: ev.key(), ends: true,
	}
	back := event{cause: faultCause(ev.cause, "flap began"), apply: ev.undo,
		then: []deferredEvent{again}}
	return deferredEvent{event: back, after: f.After, about: ev.key()}
}
