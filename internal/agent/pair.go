// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// The causes that end the probing of a pair before its transition was seen.
var (
	errTargetGone = errors.New("the pod was deleted before it was reached")
	errDeadline   = errors.New("the target's time ran out before it was reached")
	errRunEnded   = errors.New("the run ended before the target was reached")
)

// pair is this client probing one target. Until probing is set the pod has no address yet. The
// fields above follow belong to the scenario's goroutine, those below to the probing one, until the
// pair has come back through environment.finished.
type pair struct {
	pod      measure.Object
	created  time.Time // the pod's creationTimestamp
	assigned time.Time // when the pod's address arrived
	address  netip.Addr
	cancel   context.CancelCauseFunc
	gone     error // why the pair ended before it was ever probed

	follow struct {
		transition measure.Transition
		probes     [measure.VerdictCount]uint64
		cause      error
	}
	scenario string
	metrics  *Metrics
}

// Launched implements [probe.Follower].
func (p *pair) Launched(at, planned time.Time) {
	p.follow.transition.Launched(at)
	p.metrics.Late(p.scenario, at.Sub(planned))
}

// Ended implements [probe.Follower].
func (p *pair) Ended(launched time.Time, outcome measure.Outcome) (done bool) {
	p.follow.transition.Ended(launched, outcome)
	p.follow.probes[outcome.Verdict]++
	p.metrics.Probe(p.scenario, outcome.Verdict)
	return p.follow.transition.Settled()
}

// probe runs until the transition is settled or the pair is cancelled.
func (p *pair) probe(ctx context.Context, prober *probe.Prober, to netip.AddrPort) {
	if err := prober.Follow(ctx, to, p); err != nil {
		p.follow.cause = context.Cause(ctx)
	}
}

// sample is the pair's result as far as the pair alone can tell it.
func (p *pair) sample(port int) measure.Sample {
	sample := measure.Sample{
		Scenario: p.scenario,
		Target: measure.Target{
			Pod: p.pod, Address: netip.AddrPortFrom(p.address, uint16(port)),
		},
		Ended:    time.Now(),
		Assigned: p.assigned,
		Bracket:  p.follow.transition.Bracket(),
		Baseline: p.follow.transition.Baseline(),
		Probes:   p.follow.probes,
	}
	sample.Status, sample.Reason = p.status()
	return sample
}

// status judges how the probing ended. A transition that was seen counts, even if the pair was
// cancelled before every earlier probe had ended: its bracket is wider, not wrong.
func (p *pair) status() (measure.Status, string) {
	cause := errors.Join(p.follow.cause, p.gone)
	switch {
	case p.follow.transition.Allowed():
		return measure.Measured, ""
	case errors.Is(cause, errTargetGone):
		return measure.Deleted, errTargetGone.Error()
	case errors.Is(cause, errDeadline):
		return measure.Censored, errDeadline.Error()
	default:
		return measure.Censored, errRunEnded.Error()
	}
}
