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
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// The causes that end the probing of a pair before its transition was seen.
var (
	errTargetGone = errors.New("the pod was deleted before it was reached")
	errDeadline   = errors.New("the target's time ran out before it was reached")
	errRunEnded   = errors.New("the run ended before the target was reached")
)

// pair is this client probing one target. The fields above follow belong to the scenario's goroutine,
// those in it to the prober, until the pair has come back through the roster's mailbox.
type pair struct {
	pod      measure.Object
	node     string    // the pod's, as far as it was known with its address
	created  time.Time // the pod's creationTimestamp
	seen     time.Time // when the news of the pod's creation arrived, zero if it existed before
	assigned time.Time // when the pod's address arrived
	address  netip.Addr
	probing  following // nil until there is an address to probe
	cause    error     // why the pair ended, if it was not by its transition
	scenario string

	// What follows is of pairs that a plan asks for: the round, what is expected, whether the old state was
	// seen in time, and whether the pair came too late for that.
	round        int
	expect       result.Expect
	proved       bool
	afterTrigger bool

	follow struct {
		transition measure.Transition
		probes     [measure.VerdictCount]uint64
		counters   *probeCounters
		finished   *mailbox[*pair]
		proved     *mailbox[*pair]           // takes the pair when shown changes; nil if that does not matter, or no more
		shown      atomic.Bool               // the old state has been seen, and nothing else since
		armed      atomic.Bool               // the trigger is about to come: what the pair does from now on counts
		renew      func() measure.Transition // nil if what was seen before the old state counts
		presumed   *atomic.Int64             // how many pairs are presumed to be blocked; nil if nobody asks
		isPresumed bool                      // and whether this is one of them
	}
}

// OnOutcome implements [probe.Observer].
func (p *pair) OnOutcome(outcome measure.Outcome) (done bool) {
	p.follow.transition.Observe(outcome)
	p.follow.probes[outcome.Verdict]++
	p.follow.counters.Probe(outcome)
	p.prove()
	return p.follow.transition.Settled() && !p.expect.Forbidden
}

// prove waits for the old state, where it is to be seen before a trigger. Until then the network may still be
// on its way there: what it did before is no part of the result. It may also seem to be there too early, as where a
// pod that has just started is reached by nobody until policy lets everybody in and then shuts most out again: so what
// has been shown can be refuted until the trigger is about to come.
func (p *pair) prove() {
	switch {
	case p.follow.proved == nil || p.follow.armed.Load():
	case p.follow.transition.Changed() && p.follow.renew != nil:
		p.follow.transition = p.follow.renew()
		if p.follow.shown.Swap(false) {
			p.follow.proved.put(p)
		}
	case p.follow.transition.State() == opposite(p.expect) && !p.follow.shown.Load():
		p.follow.shown.Store(true)
		p.follow.proved.put(p)
		if p.follow.renew == nil {
			p.follow.proved = nil
			return
		}
		p.follow.probes = [measure.VerdictCount]uint64{}
	}
}

// OnOverdue implements [probe.Observer].
func (p *pair) OnOverdue(probes int, at time.Time) {
	p.follow.transition.Presume(probes, at)
	p.presume(!p.follow.transition.Presumed().IsZero())
}

// presume counts the pair among those that are presumed to be blocked, or not any more.
func (p *pair) presume(presumed bool) {
	if p.follow.presumed == nil || p.follow.isPresumed == presumed {
		return
	}
	p.follow.isPresumed = presumed
	if presumed {
		p.follow.presumed.Add(1)
	} else {
		p.follow.presumed.Add(-1)
	}
}

// OnStopped implements [probe.Observer].
func (p *pair) OnStopped() {
	p.presume(false)
	p.follow.finished.put(p)
}

// end stops the probing for a cause; the first cause counts.
func (p *pair) end(cause error) {
	if p.cause == nil {
		p.cause = cause
	}
	p.probing.Stop()
}

// sample is the pair's result as far as the pair alone can tell it.
func (p *pair) sample(port int) measure.Sample {
	change := p.follow.transition.Change()
	sample := measure.Sample{
		Scenario: p.scenario,
		Target: measure.Target{
			Pod: p.pod, Address: netip.AddrPortFrom(p.address, uint16(port)),
		},
		TargetNode: p.node, Ended: time.Now(),
		Assigned: p.assigned,
		Bracket:  change.Bracket,
		Answered: change.Answered,
		Baseline: p.follow.transition.Baseline(),
		Evidence: change.Evidence,
		Response: change.Response,
		Lost:     p.follow.transition.Lost(),
		Probes:   p.follow.probes,
	}
	sample.Flaps, sample.FlapCount = p.follow.transition.Flaps()
	sample.Status, sample.Reason = p.status()
	if p.expect.Forbidden {
		sample.Kind, sample.Leaks = measure.KindBlocked, int(p.follow.probes[measure.Allowed])
	}
	sample.Warnings = p.warnings()
	return sample
}

// warnings qualify a transition that was seen.
func (p *pair) warnings() []string {
	var all []string
	_, flaps := p.follow.transition.Flaps()
	switch change := p.follow.transition.Change(); {
	case !p.follow.transition.Changed():
		return nil
	case change.Response == http.StatusForbidden:
		all = append(all, "answered with 403: what answers may be a policy of layer 7")
	}
	if !p.follow.transition.Settled() {
		all = append(all, "not watched to the end: the transition is not confirmed")
	}
	if flaps > 0 {
		all = append(all, "the target flapped: it changed its state more than once")
	}
	return all
}

// status judges how the probing ended. A transition that was seen counts, even if the pair was
// cancelled before every earlier probe had ended: its bracket is wider, not wrong.
func (p *pair) status() (measure.Status, string) {
	switch {
	case p.follow.transition.Changed(), p.expect.Forbidden && errors.Is(p.cause, errRunEnded):
		return measure.Measured, "" // what is forbidden is watched to the end
	case errors.Is(p.cause, errTargetGone):
		return measure.Deleted, errTargetGone.Error()
	case errors.Is(p.cause, errDeadline):
		return measure.Censored, errDeadline.Error()
	default:
		return measure.Censored, errRunEnded.Error()
	}
}

// clockWarning says so if an object's creationTimestamp and the arrival of its creation are further apart
// than a second of the clocks' whole seconds explains; or nothing.
func clockWarning(what string, created, arrived time.Time) []string {
	after := arrived.Sub(created)
	if after >= -time.Second && after <= 2*time.Second {
		return nil
	}
	return []string{fmt.Sprintf("the %s's creationTimestamp is %s before its arrival: the clocks disagree by "+
		"more than a second or the watch was late", what, after.Round(time.Second))}
}
