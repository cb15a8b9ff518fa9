// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"time"
)

// The steps of a search for the rate.
const (
	// LowestRate is where a search begins, blindRate where it ends if nothing answers, and
	// leastRate what remains of a rate however often it falls.
	LowestRate, blindRate, leastRate = 200, 1000, 50
	// retreat is what a rate is divided by when it was too high: the search doubles it, so that a
	// quarter is well below the one that the path bore.
	retreat = 4

	// A step ends after the short time if it had many replies, after the long one if it had a few.
	shortStep, manyReplies = 40 * time.Millisecond, 32
	longStep, fewReplies   = 80 * time.Millisecond, 4
	// blindAfter is how long nothing may answer before the search does without.
	blindAfter = 300 * time.Millisecond
	// LongestSearch bounds a search.
	LongestSearch = 3 * time.Second
)

// What is clearly more than the least of all round trips: so many times as long, and so much
// longer, of so many replies in a row that were sent over so long a time, and growing by so much
// meanwhile. What waits for a thread or a machine that stands still waits the less the later it was
// sent: that is nothing that a lower rate would mend.
const (
	risenTimes, risenBy    = 3, 10 * time.Millisecond
	risenReplies, risenFor = 4, 25 * time.Millisecond
	risenGrowth            = 1.25
	// foundRisenFor is how long they have to be sent over where the rate was found to be borne just
	// before: others may have a part in it, and for a moment.
	foundRisenFor = 100 * time.Millisecond
)

// Losses count from so many in a step on, and if they are so much more of its probes than at the
// lowest rate.
const (
	fewLosses   = 12
	lossesBy    = 0.25
	lossesPause = 200 * time.Millisecond
	// harmfulLosses are so many that a path which is too slow does lose what it has no room for.
	harmfulLosses = 3
)

// A limit may have been somebody else's doing. So it is tried again after the shorter time, and
// each time that it proves true after twice the time, up to the longer one.
const firstRetry, longestRetry = 5 * time.Second, 5 * time.Minute

// drainTime is how much longer than the worst round trip the path may take to drain.
const drainTime = time.Second

// LongestGap is how far apart replies are at the most between which probes were lost: what is
// silent for longer may have been blocked.
const LongestGap = 200 * time.Millisecond

// Source is whose reply it is.
type Source uint8

// The sources, a closed enumeration: a pair, or the control that is probed beside them.
const (
	FromPair Source = iota
	FromControl
	sources
)

// trips follow the round trips of one source.
type trips struct {
	least   time.Duration // of all
	known   bool          // there was a reply
	replies int           // in this step
	risen   int           // in a row, the newest
	since   time.Duration // the send of the first of the row
	first   time.Duration // its round trip
	latest  time.Duration // the arrival of the newest that was risen
}

// Finder finds the rate that the path bears, as congestion control does. While no pair has had its
// trigger it searches: from the lowest rate it raises the rate step by step as long as round trips
// and losses stay as they were there. Where they rise the rate falls to a quarter of that, at once,
// and is raised again; the second time in one search that is its limit, which is tried again after
// a while, as long as no pair has had its trigger. After a trigger it stays there until the next
// search. It has no clock of its own: every instant is the time since one that the caller has
// chosen. Where there is none (nil) the schedule is kept.
type Finder struct {
	most, limit, rate float64 // of the schedule; what is found; what applies
	timeout           time.Duration
	found             float64 // at the end of the newest search, 0 before
	strikes           int     // how often the path was too slow in this search
	searching         bool
	retrying          bool          // the limit, by this search
	retryAt, retry    time.Duration // when it may be tried, and after what time
	fell              bool          // after a trigger
	began             time.Duration // the search
	triggered         bool          // there are pairs that have had their trigger
	blind             bool          // nothing has answered

	since    time.Duration // of the step
	sent     int
	losses   int
	previous float64 // the rate of the step before
	usual    float64 // the part of probes that is lost at the lowest rate
	trips    [sources]trips

	// draining says that the rate has fallen, and what was sent before still has to drain; slow
	// that this is known by round trips, of the source.
	draining, slow bool
	fallen         time.Duration
	drainBy        time.Duration // after it fell, what was sent before is to have drained
	by             Source
	worst          time.Duration
	from, to       time.Duration // the newest time in which the path was too slow
	harm           int           // how many probes it is known to have lost then
	peak           time.Duration
	why, lasting   Limit // of the rate that applies, and of the limit

	recent [manyReplies]time.Duration // the newest round trips, of pairs if they have any
	filled int
	next   int

	applied          float64 // what the caller knows
	appliedSearching bool
}

// New is a finder for at most so many probes a second, which wait for their replies so long.
func New(most float64, timeout time.Duration) *Finder {
	return &Finder{most: most, limit: most, rate: min(LowestRate, most), timeout: timeout}
}

// Begin starts a search: there are pairs, and there were none. The rate that was found before is
// tried for a step.
func (p *Finder) Begin(now time.Duration) {
	p.rate, p.why = max(p.rate, min(p.found, p.limit)), p.lasting
	p.triggered, p.fell = false, false
	p.search(now)
	p.retrying = p.limit < p.most && now >= p.retryAt
}

func (p *Finder) search(now time.Duration) {
	p.searching, p.began, p.strikes = true, now, 0
	p.step(now)
}

// tryLimit searches beyond the limit, if it is low and old enough.
func (p *Finder) tryLimit(now time.Duration, wanted float64) {
	if !p.searching && !p.draining && !p.triggered &&
		p.limit < min(wanted, p.most) && now >= p.retryAt {
		p.search(now)
		p.retrying = true
	}
}

// ceiling is the highest rate that may be tried.
func (p *Finder) ceiling() float64 {
	if p.retrying {
		return p.most
	}
	return p.limit
}

// conclude ends the search. A limit that was passed is none.
func (p *Finder) conclude() {
	if p.retrying && p.rate > p.limit {
		p.limit, p.retry, p.why, p.lasting = p.most, 0, Limit{}, Limit{}
	}
	p.searching, p.retrying, p.found, p.strikes = false, false, p.rate, 0
}

// Trigger takes in that a pair has had its trigger. A rate that has not been found yet may now be
// that of a path of which nothing is known.
func (p *Finder) Trigger() {
	if p.retrying {
		p.rate = min(p.rate, p.found)
	}
	p.triggered, p.searching, p.retrying = true, false, false
	if p.found == 0 && p.strikes == 0 {
		p.rate = max(p.rate, min(blindRate, p.most))
	}
}

// Launched takes in that a probe was sent.
func (p *Finder) Launched() {
	if p != nil {
		p.sent++
	}
}

// Answered takes in a reply. The worker had looked for replies at an instant before it read
// this one: that it was under way until then is sure, however late it was read.
func (p *Finder) Answered(from Source, sent, arrived, looked time.Duration) {
	t, took := &p.trips[from], max(arrived-sent, 0)
	if !t.known || took < t.least {
		t.least, t.known = took, true
	}
	t.replies++
	p.blind = false
	if from == FromPair || !p.trips[FromPair].known {
		p.remember(took)
	}
	if sent < p.fallen {
		return // it waited behind what was sent at the rate before
	}

	sure := max(0, min(arrived, looked)-sent)
	if sure < risenTimes*t.least || sure < t.least+risenBy {
		t.risen = 0
		// Where pairs are silent since, the control tells, if it was as slow.
		if p.draining && p.slow && (p.by == from || t.latest >= p.from) {
			p.drained(arrived)
		}
		return
	}

	if t.risen++; t.risen == 1 {
		t.since, t.first = sent, sure
	}
	t.latest = arrived
	p.worst = max(p.worst, took)
	if p.slow {
		p.peak = max(p.peak, p.worst)
	}
	within := risenFor
	if !p.searching && p.found > 0 {
		within = foundRisenFor
	}
	long := t.risen >= risenReplies && sent-t.since >= within
	if !p.draining && long && float64(sure) >= risenGrowth*float64(t.first) {
		p.slowed(from, arrived)
	}
}

// remember keeps the newest round trips.
func (p *Finder) remember(trip time.Duration) {
	p.recent[p.next] = trip
	p.next = (p.next + 1) % len(p.recent)
	p.filled = min(p.filled+1, len(p.recent))
}

// median is that of the newest round trips, zero without any.
func (p *Finder) median() time.Duration {
	if p.filled == 0 {
		return 0
	}
	sorted := p.recent
	slices.Sort(sorted[:p.filled])
	return sorted[p.filled/2]
}

// Lost takes in that probes were lost, of a pair that is allowed: it had been answered before, by
// an instant, and was again.
func (p *Finder) Lost(probes int, before time.Duration) {
	p.losses += probes
	if p.from > 0 && before >= p.from-LongestGap && (p.slow || before < p.to) {
		p.harm += probes
	}
}

// Overloaded reports whether a probe that was sent then met a path that was too slow, and lost what
// it had no room for or answered too late: that there was no answer says nothing about the network.
func (p *Finder) Overloaded(sent time.Duration) bool {
	if p == nil || p.from == 0 || sent < p.from || !p.slow && sent >= p.to {
		return false
	}
	return p.harm >= harmfulLosses || p.peak >= p.timeout/2
}

// slowed takes in that round trips have risen.
func (p *Finder) slowed(from Source, now time.Duration) {
	t := &p.trips[from]
	// Times that follow each other closely are one: probes of the first may still be in flight.
	if p.from == 0 || now-p.to > 2*p.timeout {
		p.from, p.harm, p.peak = t.since, p.losses, 0
	}
	p.slow, p.by, p.peak = true, from, max(p.peak, p.worst)
	p.fall(now, Limit{Cause: RoundTripsRose, Least: t.least, Worst: p.worst})
}

// fall lowers the rate.
func (p *Finder) fall(now time.Duration, why Limit) {
	why.At = p.achieved(now)
	if !p.triggered && !p.searching {
		p.search(now)
	}
	p.rate = min(p.most, max(leastRate, why.At/retreat))
	p.draining, p.fallen, p.drainBy = true, now, drainTime+p.worst
	p.step(now)
	for i := range p.trips {
		p.trips[i].risen = 0
	}

	p.strikes++
	switch {
	case p.triggered:
		p.fell, p.why = true, why
	case p.strikes > 1 || p.retrying:
		p.limit, p.why, p.lasting = p.rate, why, why
		p.retry = min(longestRetry, max(firstRetry, 2*p.retry))
		p.retryAt, p.retrying = now+p.retry, false
	}
}

// achieved is the rate of the probes of late.
func (p *Finder) achieved(now time.Duration) float64 {
	rate := p.previous
	if elapsed := now - p.since; elapsed >= risenFor {
		rate = max(rate, float64(p.sent)/elapsed.Seconds())
	}
	if rate == 0 {
		return p.rate
	}
	return min(rate, p.rate)
}

// drained takes in that what was sent at a rate that was too high has drained.
func (p *Finder) drained(now time.Duration) {
	p.draining = false
	if p.slow {
		p.to = now
	}
	p.slow, p.worst = false, 0
	p.step(now)
}

// step begins a step.
func (p *Finder) step(now time.Duration) {
	if elapsed := now - p.since; elapsed > 0 {
		p.previous = float64(p.sent) / elapsed.Seconds()
	}
	p.since, p.sent, p.losses = now, 0, 0
	for i := range p.trips {
		p.trips[i].replies = 0
	}
}

// Advance decides on the rate, by what has been seen by now and the rate that is wanted. It reports
// whether another rate applies than before, or the search has begun or ended.
func (p *Finder) Advance(now time.Duration, wanted float64) (changed bool) {
	if p.searching && now-p.began >= LongestSearch {
		p.conclude()
	}
	p.tryLimit(now, wanted)
	if p.draining {
		p.drain(now)
	} else if now-p.since >= shortStep {
		p.evaluate(now, min(wanted, p.ceiling()))
	}

	changed = p.rate != p.applied || p.searching != p.appliedSearching
	p.applied, p.appliedSearching = p.rate, p.searching
	return changed
}

// drain waits until the path is as fast as before, or the rate has to fall further.
func (p *Finder) drain(now time.Duration) {
	waited := now - p.fallen
	switch {
	case !p.slow && waited >= lossesPause:
		p.drained(now)
	case !p.slow || waited < p.drainBy:
	case now-p.trips[p.by].latest >= lossesPause:
		p.drained(now) // nothing answers any more, late or not
	default:
		p.fall(now, Limit{Cause: RoundTripsRose, Least: p.trips[p.by].least, Worst: p.worst})
	}
}

// evaluate ends a step if there is enough to go by. The goal is the highest rate of use.
func (p *Finder) evaluate(now time.Duration, goal float64) {
	elapsed := now - p.since
	replies, rising, from := 0, false, FromPair
	for i := range p.trips {
		replies = max(replies, p.trips[i].replies)
		if p.trips[i].risen > 0 {
			rising, from = true, Source(i)
		}
	}
	enough := replies >= manyReplies || elapsed >= longStep && replies >= fewReplies
	used := float64(p.sent) >= p.rate*elapsed.Seconds()/2

	switch {
	case p.lossy(replies) && rising:
		p.slowed(from, now)
	case p.lossy(replies):
		p.fall(now, Limit{Cause: ProbesLost, Lost: p.losses, Of: p.losses + replies})
	case rising: // the next replies tell more
	case enough && p.searching && p.rate >= goal:
		p.conclude()
		p.step(now)
	case enough && p.searching, enough && p.triggered && used && !p.fell && p.rate < goal:
		p.raise(now, replies)
	case enough && !p.triggered && p.rate < goal:
		p.search(now)
	case p.searching && replies == 0 && elapsed >= blindAfter:
		// A control that does not answer any more is no reason to send more.
		if p.blind = true; !p.trips[FromControl].known {
			p.rate = max(p.rate, min(blindRate, p.limit))
		}
		p.conclude()
		p.step(now)
	case !p.searching && elapsed >= longStep:
		p.step(now)
	}
}

// raise doubles the rate.
func (p *Finder) raise(now time.Duration, replies int) {
	if p.rate <= LowestRate {
		p.usual = float64(p.losses) / float64(max(1, p.losses+replies))
	}
	p.rate = min(2*p.rate, p.ceiling())
	p.step(now)
}

// lossy reports whether clearly more probes of this step were lost than at the lowest rate.
func (p *Finder) lossy(replies int) bool {
	part := float64(p.losses) / float64(max(1, p.losses+replies))
	return p.rate > LowestRate && p.losses >= fewLosses && part > p.usual+lossesBy
}

// Rate is the most probes a second that now applies.
func (p *Finder) Rate() float64 { return p.rate }

// Searching reports whether the rate is being searched for.
func (p *Finder) Searching() bool { return p.searching }

// Adjusting reports whether replies are wanted that tell of the path: the rate is being searched
// for, or it has fallen.
func (p *Finder) Adjusting() bool { return p.searching || p.draining }

// State is what has been found so far.
func (p *Finder) State() State {
	state := State{Rate: p.rate, RoundTrip: p.median(), Found: !p.searching, Limit: p.why}
	if p.blind && p.rate < p.limit {
		state.Limit = Limit{Cause: NothingAnswered}
	}
	return state
}
