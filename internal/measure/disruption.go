// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Disruption condenses what was seen of pairs of one kind that had to keep their state.
type Disruption struct {
	// Pairs is how many were watched, Broken how many of them were not in their state for a time,
	// and Lost how many were not at the end: of open connections, those that are lost.
	Pairs, Broken, Lost int
	// Breaches counts the outages, or holes, and Longest is how long the longest one took.
	Breaches int
	Longest  Span
	// First and Last are the instants between which all of them were, as far as they were seen,
	// both on the clocks of the pairs' agents.
	First, Last time.Time
	// Unwatched is how many pairs were not watched for a time, and LongestUnknown the longest of
	// these times: what the pair did then, nobody knows.
	Unwatched      int
	LongestUnknown time.Duration
	// Lateness is how late a probe left at the most.
	Lateness time.Duration
}

// add enters a pair.
func (d *Disruption) add(w Watched) {
	if !w.Is() {
		return
	}
	d.Pairs++
	d.Lateness = max(d.Lateness, w.Lateness)
	if w.Unknown.Count > 0 {
		d.Unwatched++
		d.LongestUnknown = max(d.LongestUnknown, w.Unknown.Longest.Most)
	}
	if w.Breaches.Count == 0 {
		return
	}

	d.Broken++
	d.Breaches += w.Breaches.Count
	if w.Broken() {
		d.Lost++
	}
	if w.Breaches.Longest.longer(d.Longest) {
		d.Longest = w.Breaches.Longest
	}
	first, last := w.Breaches.List[0], w.Breaches.List[len(w.Breaches.List)-1]
	if d.First.IsZero() || first.Began.Upper.Before(d.First) {
		d.First = first.Began.Upper
	}
	if last.Ended.Lower.After(d.Last) {
		d.Last = last.Ended.Lower
	}
}

// Disrupted condenses what was seen of the pairs of samples.
func Disrupted(samples []Sample) Disruption {
	var all Disruption
	for _, one := range samples {
		all.add(one.Watched)
	}
	return all
}

// NodeDisruption is what was seen of the pairs of one node.
type NodeDisruption struct {
	Node string
	Disruption
}

// DisruptedByNode condenses samples by the node that a function finds for each.
func DisruptedByNode(samples []Sample, node func(Sample) string) []NodeDisruption {
	byNode := make(map[string]*NodeDisruption)
	for _, one := range samples {
		name := node(one)
		if byNode[name] == nil {
			byNode[name] = &NodeDisruption{Node: name}
		}
		byNode[name].add(one.Watched)
	}

	var all []NodeDisruption
	for _, one := range byNode {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b NodeDisruption) int { return cmp.Compare(a.Node, b.Node) })
	return all
}

// BreachName is what a time is called in which pairs of the kind were not in their state.
func (k Kind) BreachName() string {
	if k.Keeps() == StateBlocked {
		return "hole"
	}
	return "outage"
}

// String is the span, for example "0s to 12ms".
func (s Span) String() string {
	least, most := FormatDuration(s.Least), FormatDuration(s.Most)
	if least == most {
		return most
	}
	return fmt.Sprintf("%s to %s", least, most)
}

// Text says what was seen of pairs of a kind, in a line.
func (d Disruption) Text(kind Kind) string {
	text := Plural(d.Breaches, kind.BreachName())
	if d.Breaches > 0 {
		text += fmt.Sprintf(" on %s, longest %s", Plural(d.Broken, "pair"), d.Longest)
	}
	switch {
	case d.Lost == 0:
	case kind == KindOpenAllowed:
		text += fmt.Sprintf(", %d of %s lost", d.Lost, Plural(d.Pairs, "connection"))
	default:
		text += fmt.Sprintf(", %d to the end", d.Lost)
	}
	if d.Unwatched > 0 {
		text += fmt.Sprintf("; unknown on %s for up to %s", Plural(d.Unwatched, "pair"),
			FormatDuration(d.LongestUnknown))
	}
	return text
}
