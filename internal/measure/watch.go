// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// Watched is what was seen of a pair that has to keep its state: how often it did not, and how well
// it was watched. The zero value is of a pair that nobody watched for that.
type Watched struct {
	// From is when the watch began, To the send of the newest probe that showed anything.
	From, To time.Time
	// Breaches are the times in which the pair was not in its state: outages of one that must stay
	// allowed, holes of one that must stay blocked.
	Breaches Episodes
	// Unknown are the times in which nothing was seen of the pair: what it did then, nobody knows.
	Unknown Episodes
	// Lateness is how late a probe left at the most.
	Lateness time.Duration
}

// Is reports whether the pair was watched.
func (w Watched) Is() bool { return !w.From.IsZero() }

// Broken reports whether the pair was not in its state when the watch ended.
func (w Watched) Broken() bool {
	list := w.Breaches.List
	return len(list) > 0 && list[len(list)-1].Open()
}

// Episode is a time in the life of a pair. Its brackets contain the instants at which it began and
// ended: of a breach from the last good probe to the first bad one, and from the last bad one to
// the first good one. One that had not ended when the watch did has no upper end.
type Episode struct {
	Began, Ended Bracket
	// Probes is how many showed it: failures of an outage, replies of a hole.
	Probes uint64
	// Unwatched is how much of it nobody saw.
	Unwatched time.Duration
	// Merged is how many further episodes it stands for, with what was between them: there were too
	// many to keep each.
	Merged int
}

// Open reports whether the episode had not ended when the watch did.
func (e Episode) Open() bool { return e.Ended.Upper.IsZero() }

// Span is how long something took, which is between the two.
type Span struct{ Least, Most time.Duration }

// Span is how long the episode lasted, as far as it was seen. What nobody saw of it may have been
// part of it or not.
func (e Episode) Span() Span {
	ended := e.Ended.Upper
	if e.Open() {
		ended = e.Ended.Lower
	}
	return Span{
		Least: max(0, e.Ended.Lower.Sub(e.Began.Upper)-e.Unwatched),
		Most:  ended.Sub(e.Began.Lower),
	}
}

// longer reports whether a span may be longer than another.
func (s Span) longer(other Span) bool {
	if s.Most != other.Most {
		return s.Most > other.Most
	}
	return s.Least > other.Least
}

// MaxEpisodes is how many episodes of a kind are kept of a pair.
const MaxEpisodes = 32

// Episodes are those of one kind of one pair, bounded however many there are.
type Episodes struct {
	// List has the first ones. The last of it stands for all that came when it was full.
	List []Episode
	// Count is how many there were, and Longest how long the longest of them was.
	Count   int
	Longest Span
	// Total is how long all of them took together.
	Total Span
}

// add enters an episode that is over, or open at the end.
func (e *Episodes) add(one Episode) {
	e.Count++
	span := one.Span()
	if span.longer(e.Longest) {
		e.Longest = span
	}
	e.Total.Least, e.Total.Most = e.Total.Least+span.Least, e.Total.Most+span.Most

	if len(e.List) < MaxEpisodes {
		e.List = append(e.List, one)
		return
	}
	last := &e.List[len(e.List)-1]
	last.Ended = one.Ended
	last.Probes, last.Unwatched = last.Probes+one.Probes, last.Unwatched+one.Unwatched
	last.Merged++
}

// Changes are the beginnings and ends of the episodes, as changes of a pair that has to keep a
// state.
func (e Episodes) Changes(keep State) []Change {
	var all []Change
	for _, one := range e.List {
		all = append(all, Change{To: keep.Opposite(), Bracket: one.Began})
		if !one.Open() {
			all = append(all, Change{To: keep, Bracket: one.Ended})
		}
	}
	return all
}

// Watch follows the probes of one pair that has to keep its state. The zero value is not usable;
// NewWatch makes one.
//
// A time without probes that is longer than several of their intervals is one in which nobody
// looked, because the process that probes was not run or its table of connections was full: the
// watch calls it unknown. Failures on both sides of it are not in a row, so that nothing is a
// breach that only a process which stood still has seen.
type Watch struct {
	keep     State
	detector detector
	seen     time.Time     // the send of the newest probe that showed anything
	gap      time.Duration // the longest time without one in which the pair counts as watched
	breach   Episode       // the one under way
	broken   bool
	hidden   time.Duration // how long nobody watched since the newest probe that showed the breach
	watched  Watched
}

// NewWatch follows a pair that has to be in the state.
func NewWatch(keep State, rules Rules) Watch {
	return Watch{keep: keep, detector: detector{rules: rules}, gap: shortestGap}
}

// Begin begins the watch at an instant: what was before is no result.
func (w *Watch) Begin(at time.Time) {
	w.watched = Watched{From: at}
	w.broken = false
}

// A pair counts as watched in the time between two probes that show something if that is no longer
// than so many intervals of the schedule, or than the shortest time.
const (
	gapIntervals = 5
	shortestGap  = 100 * time.Millisecond
)

// Observe takes the outcome of the next probe, in the order of the sends.
func (w *Watch) Observe(o Outcome) {
	begun := w.watched.Is()
	if begun {
		w.watched.Lateness = max(w.watched.Lateness, o.Sent.Sub(o.Planned))
	}
	if o.Verdict == Ambiguous || !o.Sent.After(w.seen) {
		return
	}

	w.look(o)
	change, changed := w.detector.observe(o)
	switch {
	case !begun:
	case changed && change.To == w.keep:
		w.restore(change)
	case changed:
		w.broken, w.hidden = true, 0
		w.breach = Episode{Began: change.Bracket}
		w.breach.Began.Lower = w.sinceBegin(change.Bracket.Lower)
		w.prolong(o)
	case w.broken && o.Verdict != Unanswered && (o.Verdict == Allowed) != (w.keep == StateAllowed):
		w.prolong(o)
	}
}

// look takes in that a probe has shown something. The time before it is judged by the longer of two
// intervals: the schedule may have changed meanwhile.
func (w *Watch) look(o Outcome) {
	at, before, gap := o.Sent, w.sinceBegin(w.seen), max(shortestGap, gapIntervals*o.Interval)
	longest := max(w.gap, gap)
	w.seen, w.gap = at, gap
	if !w.watched.Is() {
		return
	}

	w.watched.To = at
	if at.Sub(before) <= longest {
		return
	}
	w.watched.Unknown.add(between(before, at))
	w.hidden += at.Sub(before)
	if w.detector.state != StateBlocked {
		w.detector.run = 0
	}
}

// sinceBegin is an instant, but not before the watch began.
func (w *Watch) sinceBegin(at time.Time) time.Time {
	if at.Before(w.watched.From) {
		return w.watched.From
	}
	return at
}

// between is the episode between two instants that are known.
func between(from, to time.Time) Episode {
	return Episode{Began: Bracket{from, from}, Ended: Bracket{to, to}}
}

// prolong takes in a probe that shows the breach under way. A block is seen only after as many
// failures as confirm it.
func (w *Watch) prolong(o Outcome) {
	w.breach.Ended.Lower = o.Sent
	w.breach.Unwatched, w.hidden = w.breach.Unwatched+w.hidden, 0
	if w.breach.Probes == 0 && w.keep == StateAllowed {
		w.breach.Probes = uint64(w.detector.run)
		return
	}
	w.breach.Probes++
}

// restore takes in that the pair is back in its state.
func (w *Watch) restore(change Change) {
	if !w.broken {
		return
	}
	w.breach.Ended = change.Bracket
	w.watched.Breaches.add(w.breach)
	w.broken = false
}

// End is what was seen, when everything is known of the probes that were sent by an instant.
func (w *Watch) End(at time.Time) Watched {
	watched := w.watched
	if !watched.Is() {
		return watched
	}
	if seen := w.sinceBegin(w.seen); at.Sub(seen) > w.gap {
		watched.Unknown.add(between(seen, at))
	}
	if w.broken {
		watched.Breaches.add(w.breach)
	}
	return watched
}
