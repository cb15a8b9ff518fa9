// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// TestPortsRanShort warns in the sample, seen to change or not, once a probe had to wait for a
// source port.
func TestPortsRanShort(t *testing.T) {
	for name, deferred := range map[string]bool{"enough": false, "short": true} {
		t.Run(name, func(t *testing.T) {
			p := &pair{notices: newQueue[notice](), port: 80}
			p.observed.counters = NewMetrics().begin("test")
			p.observed.transition = measure.NewTransition(measure.StateBlocked, measure.Rules{})
			now := time.Now()
			for i := range 3 {
				sent := now.Add(time.Duration(i) * time.Millisecond)
				p.OnOutcome(measure.Outcome{Verdict: measure.Allowed, Sent: sent, SentBy: sent,
					Done: sent.Add(time.Microsecond), Deferred: deferred && i == 1})
			}
			warned := slices.ContainsFunc(p.sample().Warnings, func(warning string) bool {
				return strings.HasPrefix(warning, "source ports ran short")
			})
			if warned != deferred {
				t.Errorf("warnings %q; want one about ports: %t", p.sample().Warnings, deferred)
			}
		})
	}
}

// TestFilteredAfterTheTrigger has probes wait for their verdict, as in the queue of an engine in
// user space: what was sent before the trigger, and filtered after it, refutes no old state.
func TestFilteredAfterTheTrigger(t *testing.T) {
	tests := []struct {
		name     string
		answered time.Duration // when the first reply comes, since the trigger
		proved   bool
	}{
		{"a reply after the trigger", 120 * time.Millisecond, true},
		{"a reply before it", -10 * time.Millisecond, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := &pair{notices: newQueue[notice](), port: 80}
			p.observed.counters = NewMetrics().begin("test")
			p.observed.transition = measure.NewTransition(measure.StateAllowed,
				measure.Rules{Confirm: 3})
			p.observed.oldState.Announced = true
			began := time.Now()
			trigger := began.Add(time.Second)
			for i := range 240 {
				sent := began.Add(time.Duration(i) * 5 * time.Millisecond)
				o := measure.Outcome{Verdict: measure.Dropped, Sent: sent, SentBy: sent,
					Done: sent.Add(time.Second)}
				if !sent.Before(trigger.Add(-20 * time.Millisecond)) {
					p.trigger(trigger) // outcomes are told when they are known
					o.Verdict, o.Done = measure.Allowed, trigger.Add(test.answered)
					if o.Done.Before(sent) {
						o.Done = sent.Add(time.Millisecond)
					}
				}
				p.OnOutcome(o)
			}

			if got := p.observed.oldState.Proved(); got != test.proved {
				t.Errorf("the old state is proved: %t; want %t", got, test.proved)
			}
			bracket := p.observed.transition.Change().Bracket
			if change := trigger.Add(test.answered); test.proved && !bracket.Contains(change) {
				t.Errorf("the bracket is %v; want it to contain %v", bracket, change)
			}
		})
	}
}

// TestLeakThatEnded keeps the first leak of a pair that must stay blocked: that it was taken back
// does not undo it.
func TestLeakThatEnded(t *testing.T) {
	p := &pair{notices: newQueue[notice](), port: 80, expect: protocol.Expect{Forbidden: true}}
	p.observed.counters = NewMetrics().begin("test")
	p.observed.transition = measure.NewTransition(measure.StateAllowed, measure.Rules{Confirm: 3})
	began := time.Now()
	p.trigger(began)
	for i := range 60 {
		o := measure.Outcome{Verdict: measure.Dropped, Sent: began.Add(time.Duration(i) * 5e6)}
		o.SentBy, o.Done = o.Sent, o.Sent.Add(time.Second)
		if i == 20 || i == 21 {
			o.Verdict, o.Done = measure.Allowed, o.Sent.Add(time.Millisecond)
		}
		if p.OnOutcome(o) {
			t.Fatal("a pair that must stay blocked is done")
		}
	}
	p.cause = errRunEnded
	sample := p.sample()
	want := measure.Bracket{Lower: began.Add(95e6), Upper: began.Add(101e6)}
	if sample.Leaks != 2 || sample.Status != measure.Measured || sample.Bracket != want {
		t.Errorf("%d leaks, %s, bracket %v; want 2, measured, %v", sample.Leaks, sample.Status,
			sample.Bracket, want)
	}
}

// TestNobodyWatched tells a pair that no probe has shown anything about from one that was watched
// in vain: only of the latter is anything known, be it that it is slow or that it did not leak.
func TestNobodyWatched(t *testing.T) {
	tests := []struct {
		name      string
		verdicts  []measure.Verdict
		forbidden bool
		want      measure.Status
	}{
		{"no probe", nil, false, measure.Unobserved},
		{"probes that could not be sent", []measure.Verdict{measure.Ambiguous}, false,
			measure.Unobserved},
		{"probes that were dropped", []measure.Verdict{measure.Ambiguous, measure.Dropped}, false,
			measure.Censored},
		{"no probe of what is forbidden", nil, true, measure.Unobserved},
		{"probes of what is forbidden", []measure.Verdict{measure.Dropped}, true,
			measure.Measured},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := &pair{notices: newQueue[notice](), cause: errRunEnded,
				expect: protocol.Expect{Forbidden: test.forbidden}}
			p.observed.counters = NewMetrics().begin("test")
			p.observed.transition = measure.NewTransition(measure.StateAllowed, measure.Rules{})
			for _, verdict := range test.verdicts {
				p.OnOutcome(measure.Outcome{Verdict: verdict, Sent: time.Now()})
			}
			if got := p.sample(); got.Status != test.want {
				t.Errorf("it is %s (%s); want %s", got.Status, got.Reason, test.want)
			}
		})
	}
}

// TestOverloadedPair has the path be too slow while a pair changes: nobody has observed it, and
// neither a flap nor a latency is told.
func TestOverloadedPair(t *testing.T) {
	p := &pair{notices: newQueue[notice](), port: 80}
	p.observed.counters = NewMetrics().begin("test")
	p.observed.transition = measure.NewTransition(measure.StateBlocked, measure.Rules{Confirm: 3})
	p.pace = pace.State{Rate: 200, RoundTrip: 40 * time.Millisecond}
	now := time.Now()
	for i := range 60 {
		o := measure.Outcome{Verdict: measure.Dropped, Sent: now.Add(time.Duration(i) * 5e6)}
		o.SentBy, o.Done = o.Sent, o.Sent.Add(time.Millisecond)
		switch {
		case i < 20:
			o.Verdict = measure.Allowed
		case i < 30:
			o.Verdict, o.Overloaded = measure.Ambiguous, true
		}
		p.OnOutcome(o)
	}

	sample := p.sample()
	if sample.Status != measure.Unobserved || sample.Reason != measure.Overloaded ||
		sample.Bracket.Bounded() || sample.FlapCount > 0 {
		t.Errorf("%+v: want it unobserved", sample)
	}
	if sample.ProbeRate != 200 || sample.RoundTrip != 40*time.Millisecond {
		t.Errorf("%g probes a second and %s; want 200 and 40 ms", sample.ProbeRate,
			sample.RoundTrip)
	}
}

// TestEndOfLeakIsNoFlap warns about the changes of a pair that has to change, and not about those
// of one that must stay blocked: they are a leak.
func TestEndOfLeakIsNoFlap(t *testing.T) {
	for _, forbidden := range []bool{false, true} {
		p := &pair{notices: newQueue[notice](), port: 80}
		p.expect.Forbidden = forbidden
		p.observed.counters = NewMetrics().begin("test")
		p.observed.transition = measure.NewTransition(measure.StateAllowed,
			measure.Rules{Confirm: 3})
		now := time.Now()
		p.trigger(now)
		for i := range 60 {
			o := measure.Outcome{Verdict: measure.Dropped, Sent: now.Add(time.Duration(i) * 5e6)}
			o.SentBy, o.Done = o.Sent, o.Sent.Add(time.Millisecond)
			if i/15%2 == 1 {
				o.Verdict = measure.Allowed
			}
			p.OnOutcome(o)
		}

		sample := p.sample()
		warned := slices.ContainsFunc(sample.Warnings, func(text string) bool {
			return strings.Contains(text, "flapped")
		})
		if sample.FlapCount == 0 || warned == forbidden {
			t.Errorf("forbidden %t: %d changes, and the warnings %q", forbidden, sample.FlapCount,
				sample.Warnings)
		}
	}
}
