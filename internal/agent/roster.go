// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net/netip"
	"time"

	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// roster holds the pairs of a run from the first sight of their pods to their results. It belongs to
// one goroutine; what happens elsewhere comes back through its two channels.
type roster struct {
	env *environment
	// judge enters the result of a pair that has ended.
	judge func(*pair)
	open  map[string]*pair // by pod UID: everything expected that has no result yet
	// passed are pods that are no targets: they existed too early, came too late, were too many or
	// have their result.
	passed map[string]bool
	// holders are the pairs being probed, by address: an address belongs to the newest pod.
	holders map[netip.Addr]*pair
	probing int

	// finished delivers pairs whose probing has ended, proved those whose old state has been seen, expired the
	// UIDs of pairs out of time.
	finished *mailbox[*pair]
	proved   *mailbox[*pair]
	expired  chan string
}

func newRoster(env *environment) *roster {
	return &roster{
		env:      env,
		open:     make(map[string]*pair),
		passed:   make(map[string]bool),
		holders:  make(map[netip.Addr]*pair),
		finished: newMailbox[*pair](),
		proved:   newMailbox[*pair](),
		expired:  make(chan string),
	}
}

// full reports whether as many targets are expected as may be.
func (r *roster) full() bool { return r.env.ledger.Account().Expected >= r.env.config.MaxTargets }

// observe takes in a pod's event. A pod that is seen for the first time becomes a target if it is
// eligible and there is room. It returns the pair if it has just got its address.
func (r *roster) observe(event measure.Event, eligible bool) (assigned *pair) {
	uid := event.Object.UID
	if event.Type == measure.EventDeleted || event.Finished {
		r.end(uid, errTargetGone)
		delete(r.passed, uid)
		return nil
	}
	p, known := r.open[uid]
	if !known {
		if r.passed[uid] || !eligible || r.full() {
			r.passed[uid] = true
			return nil
		}
		p = r.add(event)
	}
	if p.address.IsValid() || len(event.Addresses) == 0 {
		return nil
	}
	p.address, p.assigned, p.node = event.Addresses[0], event.Arrived, event.Node
	return p
}

func (r *roster) add(event measure.Event) *pair {
	p := &pair{pod: event.Object, created: event.Created, scenario: r.env.scenario.Name}
	if event.Type == measure.EventAdded && !event.Initial {
		p.seen = event.Arrived
	}
	p.follow.transition = measure.NewTransition(measure.StateAllowed, r.env.config.rules())
	p.follow.counters, p.follow.finished = r.env.counters, r.finished
	p.follow.proved = r.proved
	r.open[event.Object.UID] = p
	r.env.ledger.Expect()
	r.env.metrics.targets.WithLabelValues(r.env.scenario.Name).Inc()
	return p
}

// probe starts to probe a pair that has an address.
func (r *roster) probe(p *pair) {
	if old := r.holders[p.address]; old != nil {
		// The old pod's end has not been told to us yet, but its address is another pod's now: what
		// answers there from now on would be taken for the old one.
		old.end(errTargetGone)
	}
	r.holders[p.address] = p
	address := netip.AddrPortFrom(p.address, uint16(r.env.config.TargetPort))
	klog.Infof("Sending requests to %s for pod %q in namespace %q", address, p.pod.Name, p.pod.Namespace)
	r.probing++
	p.probing = r.env.prober.follow(address, p)
}

// returned takes back the pairs whose probing has ended, and judges them.
func (r *roster) returned() {
	for _, p := range r.finished.take() {
		r.probing--
		if r.holders[p.address] == p {
			delete(r.holders, p.address)
		}
		r.judge(p)
	}
}

// expire lets the pair run out of time after the configured while, if there is one.
func (r *roster) expire(ctx context.Context, p *pair) {
	if r.env.config.TargetTimeout == 0 {
		return
	}
	time.AfterFunc(r.env.config.TargetTimeout, func() {
		select {
		case r.expired <- p.pod.UID:
		case <-ctx.Done():
		}
	})
}

// end ends a pair for a cause, unless it has a result already. While it is being probed, its
// result follows when it returns.
func (r *roster) end(uid string, cause error) {
	p, open := r.open[uid]
	switch {
	case !open:
	case p.probing != nil:
		p.end(cause) // unless it has come back and waits for something: then this does nothing
	default:
		p.cause = cause
		r.judge(p)
	}
}

// enter records a pair's result.
func (r *roster) enter(sample measure.Sample) {
	delete(r.open, sample.Target.Pod.UID)
	r.passed[sample.Target.Pod.UID] = true
	r.env.ledger.End(sample)
	r.env.metrics.Sample(sample)
	if sample.Status != measure.Measured {
		klog.Warningf("Pod %q in namespace %q is %s: %s", sample.Target.Pod.Name,
			sample.Target.Pod.Namespace, sample.Status, sample.Reason)
	}
}

// settle ends every pair that has no result.
func (r *roster) settle() {
	for uid := range r.open {
		r.end(uid, errRunEnded)
	}
	for r.probing > 0 {
		<-r.finished.full
		r.returned()
	}
	for _, p := range r.open {
		r.judge(p) // it had come back before, and waited
	}
}
