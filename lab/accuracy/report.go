// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package accuracy

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// Row sums up the cells of one number of pairs, mode and direction. Those in which the change came
// late have a row of their own: the interval, and so the error, has grown by then.
type Row struct {
	Key
	Expected  int
	Confirmed int
	Holding   int
	Flaps     int
	Lost      uint64
	Errors    []time.Duration
	Widths    []time.Duration
	// Presumed are the times from the commits until pairs were presumed to be blocked; Recanted is
	// how often that was taken back.
	Presumed []time.Duration
	Recanted int
}

// Key is what the cells of a row have in common.
type Key struct {
	Pairs int
	Mode  probe.Mode
	Want  measure.State
	Late  bool
}

// late is the delay from which on a change is late.
const late = time.Second

// delay is the range of delays, in words.
func (k Key) delay() string {
	if k.Late {
		return "1s"
	}
	return "0-100ms"
}

// Add enters a result.
func (r *Row) Add(result Result) {
	r.Expected += result.Cell.Pairs
	for _, one := range result.Evaluated {
		r.Flaps += len(one.Flaps)
		r.Lost += one.Lost
		if one.Confirmed {
			r.Confirmed++
		}

		if one.Holds {
			r.Holding++
		}
		if !one.Presumed.IsZero() {
			r.Presumed = append(r.Presumed, one.Presumed.Sub(one.Commit.After))
		}
		r.Recanted += one.Recanted
		r.Errors = append(r.Errors, one.Error.Abs())
		r.Widths = append(r.Widths, one.Bracket.Width())
	}
}

// Rows groups results.
func Rows(results []Result) []*Row {
	var rows []*Row
	for _, result := range results {
		c := result.Cell
		key := Key{Pairs: c.Pairs, Mode: c.Mode, Want: c.Want, Late: c.Delay >= late}
		at := slices.IndexFunc(rows, func(r *Row) bool { return r.Key == key })
		if at < 0 {
			at, rows = len(rows), append(rows, &Row{Key: key})
		}
		rows[at].Add(result)
	}
	return rows
}

// Report writes the table, and returns an error if a bracket misses its commit or a pair its
// transition.
func Report(w io.Writer, rows []*Row) error {
	fmt.Fprintf(w, "%6s  %-11s %-8s %-8s %8s %8s %6s  %9s %9s %9s  %9s %9s\n", "pairs", "mode",
		"to", "delay", "measured",
		"hold", "flaps", "err p50", "err p99", "err max", "width p50", "presumed")
	var expected, holding, flaps, recanted int
	for _, r := range rows {
		errors, widths := measure.NewDistribution(r.Errors), measure.NewDistribution(r.Widths)
		fmt.Fprintf(w, "%6d  %-11s %-8s %-8s %8d %8d %6d  %9s %9s %9s  %9s %9s\n", r.Pairs, r.Mode,
			r.Want, r.delay(),
			r.Confirmed, r.Holding, r.Flaps, ms(errors.Quantile(.5)), ms(errors.Quantile(.99)),
			ms(errors.Quantile(1)),
			ms(widths.Quantile(.5)), r.presumed())
		recanted += r.Recanted
		expected, holding, flaps = expected+r.Expected, holding+r.Holding, flaps+r.Flaps
	}

	fmt.Fprintf(w, "%d of %d brackets contain their commit; %d flaps were seen where none were "+
		"made.\n", holding, expected, flaps)
	fmt.Fprintf(w, "%d times a pair that was presumed to be blocked was not.\n", recanted)
	if holding != expected || flaps > 0 {
		return fmt.Errorf("hold every bracket: %d of %d do not contain their commit, %d false "+
			"flaps",
			expected-holding, expected, flaps)
	}

	return nil
}

// presumed is how long after the commit half of the pairs were presumed to be blocked, if most were
// before it was proved.
func (r *Row) presumed() string {
	if 2*len(r.Presumed) < r.Expected {
		return "-"
	}
	return ms(measure.NewDistribution(r.Presumed).Quantile(.5))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2fms", float64(d.Microseconds())/1000) }
