// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// The causes that end the probing of a pair before its transition was seen.
var (
	errTargetGone = errors.New("the pod was deleted before it was reached")
	errDeadline   = errors.New("the target's time ran out before it was reached")
	errRunEnded   = errors.New("the run ended before the target was reached")
)

// pair is this client probing one target. Its fields belong to the tracker's goroutine, those of
// observed to the goroutine that probes it until that has stopped.
type pair struct {
	pod      measure.Object
	node     string    // the pod's, as far as it was known with its address
	created  time.Time // the pod's creationTimestamp
	seen     time.Time // when the creation of the pod was noticed, zero if it existed before
	assigned time.Time // when the pod's address arrived
	address  netip.Addr
	port     int
	probing  following   // nil until there is an address to probe
	deadline *time.Timer // nil if there is none
	cause    error       // why the pair ended, if it was not by its transition
	scenario string
	steps    int // how often the wall clock had been set when the pair was made

	// proved and presumed are what the newest notice said.
	proved, presumed bool

	// What follows is of pairs that a plan asks for: the iteration, what is expected, and whether
	// the pair came after the trigger, too late to be proved.
	iteration    int
	expect       protocol.Expect
	afterTrigger bool

	pace pace.State // what was known of the path at the end

	// triggered is when the trigger may have been written: what probes show that were sent from
	// then on counts. It is nil before that.
	triggered atomic.Pointer[time.Time]
	notices   *queue[notice]
	observed  struct {
		transition measure.Transition
		oldState   measure.OldState
		probes     [measure.VerdictCount]uint64
		probed     bool           // some probe has shown something
		deferred   bool           // a probe left late, for want of a source port
		watch      *measure.Watch // of a pair that must keep its state, else nil
		watching   bool           // and it has begun to be watched for that
		counters   *probeCounters
		told       notice // the newest
	}
}

// OnOutcome implements [probe.Observer].
func (p *pair) OnOutcome(outcome measure.Outcome) (done bool) {
	o := &p.observed
	o.transition.Observe(outcome)
	o.probes[outcome.Verdict]++
	o.probed = o.probed || outcome.Verdict != measure.Ambiguous
	o.deferred = o.deferred || outcome.Deferred
	o.counters.Probe(outcome)

	var trigger time.Time
	if known := p.triggered.Load(); known != nil {
		trigger = *known
	}
	if o.oldState.Observe(&o.transition, trigger) && o.oldState.Proved() && o.oldState.Announced {
		o.probes = [measure.VerdictCount]uint64{} // the result begins here
	}
	p.watch(outcome, trigger)
	p.notify(false)

	counts := !trigger.IsZero() && !outcome.Sent.Before(trigger)
	return counts && o.transition.Settled() && !p.stays()
}

// stays reports whether the pair must keep its state: it is probed to the end.
func (p *pair) stays() bool { return p.expect.Forbidden || p.expect.Keep != "" }

// watch takes in whether the pair is in the state that it must keep, which counts from the trigger
// on.
func (p *pair) watch(outcome measure.Outcome, trigger time.Time) {
	o := &p.observed
	if o.watch == nil {
		return
	}
	if !trigger.IsZero() && !o.watching {
		o.watch.Begin(trigger)
		o.watching = true
	}
	o.watch.Observe(outcome)
}

// OnOverdue implements [probe.Observer].
func (p *pair) OnOverdue(probes int, at time.Time) {
	p.observed.transition.Presume(probes, at)
	p.notify(false)
}

// OnStopped implements [probe.Observer].
func (p *pair) OnStopped() { p.notify(true) }

// notify tells the tracker how far the pair has come, if that has changed.
func (p *pair) notify(stopped bool) {
	o := &p.observed
	now := notice{pair: p, stopped: stopped, proved: o.oldState.Proved()}
	// A presumption is of interest while the pair is awaited, which one that must not change never
	// is.
	now.presumed = !stopped && !p.stays() && !o.transition.Presumed().IsZero()
	if now != o.told {
		o.told = now
		p.notices.put(now)
	}
}

// trigger lets the pair be probed at the pace of the time after a trigger.
func (p *pair) trigger(at time.Time) {
	p.triggered.Store(&at)
	p.quicken(at)
}

// quicken lets the pair be probed at the pace of the time after an instant. One that must keep its
// state is probed at the same pace to the end.
func (p *pair) quicken(at time.Time) {
	if p.probing != nil && p.observed.watch == nil {
		p.probing.Trigger(at)
	}
}

// untrigger takes the trigger back: what the pair does has not been triggered by anything.
func (p *pair) untrigger() { p.triggered.Store(nil) }

// end stops the probing for a cause; the first cause counts.
func (p *pair) end(cause error) {
	if p.cause == nil {
		p.cause = cause
	}
	if p.probing == nil {
		p.OnStopped() // nobody else would
		return
	}
	p.probing.Stop()
}

// sample is the pair's result as far as the pair alone can tell it.
func (p *pair) sample() measure.Sample {
	change := p.observed.transition.Change()
	if p.stays() {
		change = p.observed.transition.First() // a leak counts although it was taken back
	}
	sample := measure.Sample{
		Scenario: p.scenario,
		Target: measure.Target{
			Pod: p.pod, Address: netip.AddrPortFrom(p.address, uint16(p.port)),
		},
		TargetNode: p.node, Ended: time.Now(),
		Assigned: p.assigned,
		Bracket:  change.Bracket,
		Answered: change.Answered,
		Baseline: p.observed.transition.Baseline(),
		Evidence: change.Evidence,
		Response: change.Response,
		Lost:     p.observed.transition.Lost(),
		Probes:   p.observed.probes,

		ProbeRate: p.pace.Rate, RoundTrip: p.pace.RoundTrip,
	}

	if p.observed.watch == nil {
		sample.Flaps, sample.FlapCount = p.observed.transition.Flaps()
	}
	sample.Status, sample.Reason = p.status()
	if p.stays() {
		sample.Kind = p.kind()
	}
	if sample.Kind.Keeps() == measure.StateBlocked {
		sample.Leaks = int(p.observed.probes[measure.Allowed])
	}
	if p.observed.watch != nil {
		// Of what was sent later nothing may be known yet.
		sample.Watched = p.observed.watch.End(sample.Ended.Add(-probe.MaxTimeout))
	}

	sample.Warnings = p.warnings(sample.CountFlaps())
	if p.overloaded() {
		return sample.Unobserve(measure.Overloaded)
	}
	return sample
}

// kind is that of a pair that must keep its state.
func (p *pair) kind() measure.Kind {
	keep := measure.StateBlocked
	if p.expect.Keep == measure.StateAllowed.String() {
		keep = measure.StateAllowed
	}
	return measure.KindThatKeeps(keep, p.expect.Open)
}

// overloaded reports whether what was seen of the pair is the doing of its probes. A pair that went
// away has no result in any case, and a leak is one in any case.
func (p *pair) overloaded() bool {
	return p.observed.transition.Overloaded() && !p.stays() &&
		!errors.Is(p.cause, errTargetGone)
}

// warnings qualify what was seen.
func (p *pair) warnings(flaps int) []string {
	var all []string
	if p.observed.deferred {
		all = append(all, "source ports ran short: probes left less often than planned, so that "+
			"none took the port of a flow that connection tracking may remember")
	}
	if limit := p.pace.Warning(); limit != "" {
		all = append(all, limit)
	}

	switch change := p.observed.transition.Change(); {
	case !p.observed.transition.Changed() || p.observed.watch != nil:
		return all
	case change.Response == http.StatusForbidden:
		all = append(all, "answered with 403: what answers may be a policy of layer 7")
	}

	if !p.observed.transition.Settled() {
		all = append(all, "not watched to the end: the transition is not confirmed")
	}
	if flaps > 0 {
		all = append(all, "the target flapped: it changed its state more than once")
	}

	return all
}

// status is how the probing ended. A transition that was seen counts, even if the pair was
// cancelled before every earlier probe had ended: its bracket is wider, not wrong.
func (p *pair) status() (measure.Status, string) {
	switch {
	case p.observed.watch != nil && p.observed.probed && errors.Is(p.cause, errRunEnded):
		return measure.Measured, ""
	case p.observed.watch == nil && p.observed.transition.Changed(),
		p.expect.Forbidden && p.observed.probed && errors.Is(p.cause, errRunEnded):
		return measure.Measured, "" // what is forbidden is watched to the end
	case errors.Is(p.cause, errTargetGone):
		return measure.Deleted, errTargetGone.Error()
	case !p.observed.probed:
		return measure.Unobserved, measure.NotProbed
	case errors.Is(p.cause, errDeadline):
		return measure.Censored, errDeadline.Error()
	default:
		return measure.Censored, errRunEnded.Error()
	}
}

// clockWarning says so if an object's creationTimestamp and the arrival of its creation are further
// apart than a second of the clocks' whole seconds explains; or nothing.
func clockWarning(what string, created, arrived time.Time) []string {
	after := arrived.Sub(created)
	if after >= -time.Second && after <= 2*time.Second {
		return nil
	}
	// By how much is not in the text, by which the warnings of many pairs are grouped.
	return []string{
		fmt.Sprintf("the %s's creationTimestamp is more than a second from its arrival: "+
			"the clocks disagree, or the watch was late", what),
	}
}
