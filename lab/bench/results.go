// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
)

// Results are the readings of all rounds.
type Results struct {
	names    []string // of the yardsticks, in the order of their turns
	readings map[key][]Reading
	memory   map[string]int64 // in bytes, by the name of the mode
	leftOut  map[string]error // why, by the name of the yardstick
}

type key struct {
	name  string
	state State
}

func newResults() *Results {
	return &Results{readings: make(map[key][]Reading), memory: make(map[string]int64),
		leftOut: make(map[string]error)}
}

// add enters the readings of a yardstick's turns in one round.
func (r *Results) add(name string, readings map[State]Reading) {
	if !slices.Contains(r.names, name) {
		r.names = append(r.names, name)
	}
	for state, reading := range readings {
		k := key{name, state}
		r.readings[k] = append(r.readings[k], reading)
	}
}

// leaveOut takes a yardstick out of all rounds: rounds can only be compared if they are complete.
func (r *Results) leaveOut(name string, why error) {
	r.leftOut[name] = why
	r.names = slices.DeleteFunc(r.names, func(other string) bool { return other == name })
	delete(r.readings, key{name, Dropped})
	delete(r.readings, key{name, Answered})
}

func (r *Results) isLeftOut(name string) bool { return r.leftOut[name] != nil }

// cost is the processor time of a probe in microseconds: the median of the rounds.
func (r *Results) cost(name string, state State) (float64, bool) {
	return median(r.readings[key{name, state}], func(one Reading) float64 {
		return one.perProbe(one.CPU)
	})
}

// kernel is the time that all processors spent in the kernel for a probe, in microseconds.
func (r *Results) kernel(name string, state State) (float64, bool) {
	return median(r.readings[key{name, state}], func(one Reading) float64 {
		return one.perProbe(one.Kernel)
	})
}

// allocations are those of a probe in the worst round.
func (r *Results) allocations(name string) float64 {
	worst := 0.0
	for _, state := range []State{Dropped, Answered} {
		for _, one := range r.readings[key{name, state}] {
			worst = max(worst, float64(one.Allocations)/float64(one.Probes))
		}
	}
	return worst
}

// ratio is how many times as much a probe of one yardstick costs as one of another: the median of
// the ratios in each round, which a machine that slows down for a minute does not move.
func (r *Results) ratio(name, other string, state State) (float64, bool) {
	above, below := r.readings[key{name, state}], r.readings[key{other, state}]
	var ratios []float64
	for i := range min(len(above), len(below)) {
		ratios = append(ratios, above[i].perProbe(above[i].CPU)/below[i].perProbe(below[i].CPU))
	}
	return median(ratios, func(one float64) float64 { return one })
}

// median is the middle value of a number of things, if there are any.
func median[T any](all []T, value func(T) float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	var values []float64
	for _, one := range all {
		values = append(values, value(one))
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2, true
}
