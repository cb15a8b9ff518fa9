// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

// errGoals is the error of a run that does not show what it is to.
var errGoals = errors.New("reach the goals: not all hold")

// report writes the table and the goals, and returns an error if a goal does not hold.
func (r *Results) report(w io.Writer) error {
	r.table(w)
	for _, name := range slices.Sorted(maps.Keys(r.leftOut)) {
		fmt.Fprintf(w, "%s is left out: %v.\n", name, r.leftOut[name])
	}

	fmt.Fprintln(w)
	var err error
	for _, goal := range r.goals() {
		fmt.Fprintln(w, goal)
		if !goal.Holds {
			err = errGoals
		}
	}

	return err
}

// table writes what a probe costs, a line for each yardstick.
func (r *Results) table(w io.Writer) {
	fmt.Fprintf(w, "%-14s%22s%24s%28s%10s\n", "", "processor time", "part of curl's",
		"all processors' kernel", "")
	fmt.Fprintf(w, "%-14s%11s%11s%12s%12s%14s%14s%10s\n", "µs a probe",
		Dropped, Answered, Dropped, Answered, Dropped, Answered, "allocates")
	for _, name := range r.names {
		allocates := "-"
		if ours(name) {
			allocates = fmt.Sprintf("%.2f", r.allocations(name))
		}
		fmt.Fprintf(w, "%-14s%11s%11s%12s%12s%14s%14s%10s\n", name,
			cell(micros, r.cost, name, Dropped), cell(micros, r.cost, name, Answered),
			cell(part, r.timesCurl, name, Dropped), cell(part, r.timesCurl, name, Answered),
			cell(micros, r.kernel, name, Dropped), cell(micros, r.kernel, name, Answered),
			allocates)
	}
}

// timesCurl is how many probes cost as much as one with curl.
func (r *Results) timesCurl(name string, state State) (float64, bool) {
	return r.ratio(curlName, name, state)
}

// cell is a value as it stands in the table, if there is one.
func cell(
	format func(float64) string, of func(string, State) (float64, bool), name string, state State,
) string {
	value, ok := of(name, state)
	if !ok {
		return "-"
	}
	return format(value)
}

// micros is a time in microseconds, to three digits or so.
func micros(value float64) string {
	digits := 2
	switch {
	case value >= 100:
		digits = 0
	case value >= 10:
		digits = 1
	}
	return strconv.FormatFloat(value, 'f', digits, 64)
}

// part is one over a number.
func part(value float64) string { return "1/" + strconv.FormatFloat(value, 'f', 0, 64) }
