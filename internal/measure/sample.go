// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"time"
)

// Status is how a pair ended. Every expected pair ends in exactly one.
type Status uint8

// The statuses, a closed enumeration.
const (
	// Measured: the transition was seen and its bracket is known.
	Measured Status = iota + 1
	// Censored: the run or the pair's deadline ended before the transition was seen.
	Censored
	// Invalid: the pair was not in the expected old state before the trigger.
	Invalid
	// Deleted: the target went away before the transition was seen.
	Deleted
	// Unobserved: nobody watched the pair, or what was seen of it is lost.
	Unobserved
)

// NotReported is the reason of an unobserved pair whose result never came, NotProbed of one that no
// probe has shown anything about.
const (
	NotReported = "its agent did not report: it ended, or its log was lost"
	NotProbed   = "no probe of it was sent, or none has shown anything"
)

// Overloaded is the reason of an unobserved pair that was probed more often than its path bears.
const Overloaded = "there were more probes than the path bears: lower --max-probe-rate"

// Statuses lists every status, in order.
func Statuses() []Status { return []Status{Measured, Censored, Invalid, Deleted, Unobserved} }

// String is the status's name in messages, metrics and records.
func (s Status) String() string {
	names := [...]string{"unknown", "measured", "censored", "invalid", "deleted", "unobserved"}
	if int(s) >= len(names) {
		return fmt.Sprintf("status(%d)", uint8(s))
	}
	return names[s]
}

// Sample is the result of one pair.
type Sample struct {
	// Scenario names what was measured, for example pod-creation.
	Scenario string
	Target   Target
	Status   Status
	// Reason explains a status other than Measured, in one sentence, and Cause an invalid one.
	Reason string
	Cause  Cause
	// Start is where the latency counts from; zero if the pair never got that far.
	Start Start
	// Bracket contains the transition; zero unless Measured.
	Bracket Bracket
	// Answered is when the reply that showed that a pair is allowed had arrived: the original's end
	// of a latency.
	Answered time.Time
	// Ended is when the status was decided.
	Ended time.Time
	// Created is the creationTimestamp of the trigger, kept as a cross-check.
	Created time.Time
	// Assigned is when our watch delivered the pod's address.
	Assigned time.Time
	// Baseline is how the pair was last blocked before the transition, Ambiguous if it never was.
	Baseline Verdict
	// Evidence is how the probe that showed the transition ended, and Response its HTTP status, 0
	// without one: a 403 can be an L7 policy's denial.
	Evidence Verdict
	Response int
	// Flaps are the first changes of state around and after the transition, FlapCount the number of
	// all, as they were seen: [Sample.CountFlaps] knows which of them count.
	Flaps     []Change
	FlapCount int
	// Lost counts the probes that failed between answered ones, too few in a row to be a change.
	Lost uint64
	// Probes counts the probes by verdict.
	Probes [VerdictCount]uint64
	// Setting tells samples of one scenario apart that was run with several settings, for example
	// "ingress IPv6"; empty for the defaults.
	Setting string
	// Client is the pod that probed, and Want the state that the trigger was to bring about, where
	// a run knows them. Iteration numbers the triggers of a run, Agent the pods that probed.
	Client           Object
	Want             State
	Iteration, Agent int
	// ClientNode and TargetNode are where the two pods ran, empty if that is not known.
	ClientNode, TargetNode string
	// Kind is what the network has to do with the pair. One that must keep its state has no
	// latency. One that must stay blocked has Leaks, the number of replies that policy forbids; its
	// bracket is that of the first leak.
	Kind  Kind
	Leaks int
	// Watched is what was seen of a pair that must keep its state through a disruption.
	Watched Watched
	// ProbeRate is how many probes a second the agent, or client, could send for all of its pairs
	// together, as far as its path bore that, and RoundTrip the median of the newest round trips;
	// zero where that is not known.
	ProbeRate float64
	RoundTrip time.Duration
	// Warnings qualify the latency.
	Warnings []string
}

// Kind is what the network has to do with a pair.
type Kind uint8

// The kinds, a closed enumeration.
const (
	// KindNew: new connections, which have to become allowed, or blocked.
	KindNew Kind = iota
	// KindOpen: a connection that was open when policy began to forbid it.
	KindOpen
	// KindBlocked: new connections that must stay blocked.
	KindBlocked
	// KindAllowed: new connections that must stay allowed.
	KindAllowed
	// KindOpenBlocked: a connection that was open before policy forbade it, and must stay blocked.
	KindOpenBlocked
	// KindOpenAllowed: an open connection that must stay allowed.
	KindOpenAllowed
)

// kindNames are the names of the kinds in records.
var kindNames = [...]string{
	"new-connection", "open-connection", "must-stay-blocked", "must-stay-allowed",
	"open-connection-must-stay-blocked", "open-connection-must-stay-allowed",
}

// Kinds lists every kind, in order.
func Kinds() []Kind {
	all := make([]Kind, len(kindNames))
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// KindThatKeeps is the kind of pairs that must keep a state.
func KindThatKeeps(state State, open bool) Kind {
	switch {
	case state == StateBlocked && open:
		return KindOpenBlocked
	case state == StateBlocked:
		return KindBlocked
	case open:
		return KindOpenAllowed
	default:
		return KindAllowed
	}
}

// String is the kind's name in records.
func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// Keeps is the state that the pair must keep, unknown if it has to change.
func (k Kind) Keeps() State {
	switch k {
	case KindBlocked, KindOpenBlocked:
		return StateBlocked
	case KindAllowed, KindOpenAllowed:
		return StateAllowed
	default:
		return StateUnknown
	}
}

// Stays reports whether the pair must keep its state: it has no latency.
func (k Kind) Stays() bool { return k.Keeps() != StateUnknown }

// WithStart is the sample with the instant that its latency counts from. A pair that changed before
// that shows nothing about the trigger; by more than the grace, if the trigger may be older than
// its notification.
func (s Sample) WithStart(start Start, grace time.Duration) Sample {
	s.Start = start
	if start.causal() {
		grace = 0
	}
	early := s.Bracket.Upper.Before(start.At.Add(-grace))
	if s.Status == Measured && !s.Kind.Stays() && early {
		return s.Invalidate(ChangedEarly)
	}
	return s
}

// Invalidate is the sample of a pair that shows nothing, for the cause. It has no transition.
func (s Sample) Invalidate(cause Cause) Sample {
	s.Status, s.Cause, s.Reason = Invalid, cause, cause.Text()
	s.Bracket, s.Answered, s.Watched = Bracket{}, time.Time{}, Watched{}
	return s
}

// Unobserve is the sample of a pair that nobody saw change, for the reason. It has no transition.
func (s Sample) Unobserve(reason string) Sample {
	s.Status, s.Reason = Unobserved, reason
	s.Bracket, s.Answered, s.Watched = Bracket{}, time.Time{}, Watched{}
	s.Flaps, s.FlapCount = nil, 0
	return s
}

// CountFlaps counts the changes of state other than the transition. The beginning and the end of a
// leak are none, nor are those of an outage.
func (s Sample) CountFlaps() int {
	if s.Kind.Stays() {
		return 0
	}
	return s.FlapCount
}

// Latency is the interval that contains a latency. It may begin below zero: a fast cluster can
// enforce a trigger before the trigger's own notification arrives.
type Latency struct {
	Lower time.Duration
	Upper time.Duration
}

// Latency is the sample's latency: from the latest possible start to the earliest possible
// transition, up to the reverse. Without a lower end of the bracket, nothing is known but that the
// transition came after the start.
func (s Sample) Latency() Latency {
	upper := s.Bracket.Upper.Sub(s.Start.At)
	lower := min(0, upper)
	if s.Bracket.Bounded() {
		lower = s.Bracket.Lower.Sub(s.Start.At) - s.Start.Uncertainty
	}
	if s.Start.causal() {
		lower = max(lower, min(0, upper)) // nothing comes of a trigger before the API accepts it
	}
	return Latency{Lower: lower, Upper: upper}
}

// Observed is the pair's latency, or what it is only known to be longer than: the time for which a
// censored pair was watched, zero if that is not known. Of a pair of which no probe saw the old
// state it is the most that it can be. Without either, ok is false.
func (s Sample) Observed() (latency time.Duration, censored Censoring, ok bool) {
	switch {
	case s.Kind.Stays():
		return 0, Exact, false
	case s.Status == Measured:
		latency, censored = s.changed()
		return latency, censored, true
	case s.Status != Censored:
		return 0, Exact, false
	case s.Start.At.IsZero():
		return 0, RightCensored, true
	}

	return s.Ended.Sub(s.Start.At), RightCensored, true
}

// changed is the time from the start to the bracketed change: its middle, or the most that it can
// be if no probe saw the old state.
func (s Sample) changed() (time.Duration, Censoring) {
	if !s.Bracket.Bounded() {
		return s.Latency().Upper, LeftCensored
	}
	return s.Latency().Estimate(), Exact
}

// Took is what there is to show of the pair's time: its latency as [Sample.Observed] has it, or, if
// it must stay blocked, when it first leaked. Where nothing is known of it, ok is false.
func (s Sample) Took() (took time.Duration, censored Censoring, ok bool) {
	if s.Start.At.IsZero() {
		return 0, Exact, false
	}
	if s.Kind == KindBlocked && s.Status == Measured && !s.Bracket.Upper.IsZero() {
		took, censored = s.changed()
		return took, censored, true
	}
	return s.Observed()
}

// Estimate is the middle of the interval: the error of a schedule's probes is uniform over it, so
// the middle has the smallest expected error.
func (l Latency) Estimate() time.Duration { return l.Lower + l.Resolution()/2 }

// Resolution is the interval's width.
func (l Latency) Resolution() time.Duration { return l.Upper - l.Lower }
