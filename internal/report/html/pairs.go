// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"math"
	"strconv"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

// millis are milliseconds since the trigger, to the microsecond; not a number where there are none,
// which is null in JSON.
type millis float64

// MarshalJSON implements json.Marshaler.
func (m millis) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(m)) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(m), 'f', -1, 64), nil
}

func milliseconds(d time.Duration) millis { return millis(d.Round(time.Microsecond)) / 1e6 }

// pairs are the pairs of a section, column by column, so that ten thousand of them are small and
// read at once. Texts are numbers of entries in Texts, 0 for none.
type pairs struct {
	Texts []string `json:"texts"`
	// Client and Target name pods, ClientNode and TargetNode where they ran.
	Client     []int `json:"client"`
	Target     []int `json:"target"`
	ClientNode []int `json:"clientNode"`
	TargetNode []int `json:"targetNode"`
	// Place says whether that was the same node or others, empty where it is not known.
	Place     []int `json:"place"`
	Address   []int `json:"address"`
	Iteration []int `json:"iteration"`
	// Status numbers measure.Statuses from 0.
	Status []int `json:"status"`
	// Lower and Upper are the bracket of the transition, or of the first leak; End is when the pair
	// was done with.
	Lower []millis `json:"lower"`
	Upper []millis `json:"upper"`
	// Latency is that of a pair, what it is longer than if it is censored, or when it first leaked.
	// Without a lower end of the bracket it is the most that it can be.
	Latency []millis `json:"latency"`
	End     []millis `json:"end"`
	Leaks   []int    `json:"leaks"`
	Flaps   []int    `json:"flaps"`
	// Note says why a pair was not measured, or what qualifies its latency.
	Note []int `json:"note"`
	// Changes are the changes of state other than the transition, by row: to allowed (1) or blocked
	// (0), from, to. They are flaps where Flaps counts some.
	Changes map[int][][3]millis `json:"changes"`

	known map[string]int
}

func newPairs(samples []measure.Sample, nodes report.Nodes) pairs {
	p := pairs{Texts: []string{""}, Changes: make(map[int][][3]millis),
		known: map[string]int{"": 0}}
	name := namer(samples)
	for row, sample := range samples {
		client, target := nodes.Of(sample)
		p.Client = append(p.Client, p.text(name(sample.Client)))
		p.Target = append(p.Target, p.text(name(sample.Target.Pod)))
		p.ClientNode = append(p.ClientNode, p.text(client))
		p.TargetNode = append(p.TargetNode, p.text(target))
		p.Place = append(p.Place, p.text(string(nodes.Place(sample))))
		p.Address = append(p.Address, p.text(address(sample)))
		p.Iteration = append(p.Iteration, sample.Iteration)
		p.Status = append(p.Status, int(sample.Status-measure.Measured))
		p.Leaks, p.Flaps = append(p.Leaks, sample.Leaks), append(p.Flaps, sample.CountFlaps())
		p.Note = append(p.Note, p.text(note(sample)))
		p.times(row, sample)
	}

	return p
}

// text is the number of a text.
func (p *pairs) text(text string) int {
	number, known := p.known[text]
	if !known {
		number = len(p.Texts)
		p.Texts, p.known[text] = append(p.Texts, text), number
	}
	return number
}

// times adds the instants of a pair, relative to its trigger.
func (p *pairs) times(row int, s measure.Sample) {
	none := millis(math.NaN())
	lower, upper, took := none, none, none
	since := func(at time.Time) millis {
		if at.IsZero() || s.Start.At.IsZero() {
			return none
		}
		return milliseconds(at.Sub(s.Start.At))
	}

	known := s.Status == measure.Measured && !s.Bracket.Upper.IsZero() && !s.Start.At.IsZero()
	if known && !s.Watched.Is() { // whose changes are all alike
		latency := s.Latency()
		lower, upper = milliseconds(latency.Lower), milliseconds(latency.Upper)
		if !s.Bracket.Bounded() {
			lower = none
		}
	}

	if latency, _, ok := s.Took(); ok && !s.Watched.Is() {
		took = milliseconds(latency)
	}

	p.Latency = append(p.Latency, took)
	p.Lower, p.Upper, p.End = append(p.Lower, lower), append(p.Upper, upper),
		append(p.End, since(s.Ended))
	for _, change := range append(s.Watched.Breaches.Changes(s.Kind.Keeps()), s.Flaps...) {
		to := millis(0)
		if change.To == measure.StateAllowed {
			to = 1
		}
		p.Changes[row] = append(p.Changes[row], [3]millis{to, since(change.Bracket.Lower),
			since(change.Bracket.Upper)})
	}
}

// namer names pods: with their namespaces only if there are several.
func namer(samples []measure.Sample) func(measure.Object) string {
	clients, targets := make(map[string]bool), make(map[string]bool)
	for _, s := range samples {
		clients[s.Client.Namespace], targets[s.Target.Pod.Namespace] = true, true
	}

	delete(clients, "")
	delete(targets, "")
	several := len(clients) > 1 || len(targets) > 1
	return func(pod measure.Object) string {
		if several && pod.Namespace != "" {
			return pod.Namespace + "/" + pod.Name
		}
		return pod.Name
	}
}

func address(s measure.Sample) string {
	if !s.Target.Address.IsValid() {
		return ""
	}
	return s.Target.Address.String()
}

func note(s measure.Sample) string {
	text := s.Reason
	for _, warning := range s.Warnings {
		if text != "" {
			text += "; "
		}
		text += warning
	}
	return text
}
