// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// watched is what was seen of a pair that had to keep its state through a disruption.
type watched struct {
	From     time.Time     `json:"from"`
	To       time.Time     `json:"to,omitzero"`
	Lateness time.Duration `json:"latenessNs"`
	Breaches *episodes     `json:"breaches,omitempty"`
	Unknown  *episodes     `json:"unknown,omitempty"`
}

// episodes are those of one kind. The last of the list may stand for several.
type episodes struct {
	Count   int       `json:"count"`
	Longest span      `json:"longest"`
	Total   span      `json:"total"`
	List    []episode `json:"list"`
}

type span struct {
	Least time.Duration `json:"leastNs"`
	Most  time.Duration `json:"mostNs"`
}

// episode is one of them, between the last good probe and the first bad one, and between the last
// bad one and the first good one. What has no end had not ended when the watch did.
type episode struct {
	LastGood  time.Time     `json:"lastGood"`
	FirstBad  time.Time     `json:"firstBad"`
	LastBad   time.Time     `json:"lastBad"`
	FirstGood time.Time     `json:"firstGood,omitzero"`
	Probes    uint64        `json:"probes,omitempty"`
	Unwatched time.Duration `json:"unwatchedNs,omitempty"`
	Merged    int           `json:"merged,omitempty"`
}

func recordOfWatched(w measure.Watched) *watched {
	if !w.Is() {
		return nil
	}
	return &watched{
		From: w.From, To: w.To, Lateness: w.Lateness,
		Breaches: recordOfEpisodes(w.Breaches), Unknown: recordOfEpisodes(w.Unknown),
	}
}

func recordOfEpisodes(all measure.Episodes) *episodes {
	if all.Count == 0 {
		return nil
	}
	one := &episodes{Count: all.Count, Longest: span(all.Longest), Total: span(all.Total)}
	for _, e := range all.List {
		one.List = append(one.List, episode{
			LastGood: e.Began.Lower, FirstBad: e.Began.Upper,
			LastBad: e.Ended.Lower, FirstGood: e.Ended.Upper,
			Probes: e.Probes, Unwatched: e.Unwatched, Merged: e.Merged,
		})
	}
	return one
}

// read is what the record says, nothing without one.
func (w *watched) read() measure.Watched {
	if w == nil {
		return measure.Watched{}
	}
	return measure.Watched{
		From: w.From, To: w.To, Lateness: w.Lateness,
		Breaches: w.Breaches.read(), Unknown: w.Unknown.read(),
	}
}

func (e *episodes) read() measure.Episodes {
	if e == nil || len(e.List) == 0 {
		return measure.Episodes{}
	}
	all := measure.Episodes{Count: e.Count, Longest: measure.Span(e.Longest),
		Total: measure.Span(e.Total)}
	for _, one := range e.List {
		all.List = append(all.List, measure.Episode{
			Began:  measure.Bracket{Lower: one.LastGood, Upper: one.FirstBad},
			Ended:  measure.Bracket{Lower: one.LastBad, Upper: one.FirstGood},
			Probes: one.Probes, Unwatched: one.Unwatched, Merged: one.Merged,
		})
	}
	return all
}
