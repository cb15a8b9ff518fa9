// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package accuracy

import (
	"fmt"
	"io"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// Row sums up the cells of one number of pairs, mode and direction.
type Row struct {
	Pairs     int
	Mode      probe.Mode
	Want      measure.State
	Expected  int
	Confirmed int
	Holding   int
	Flaps     int
	Lost      uint64
	Errors    []time.Duration
	Widths    []time.Duration
}

// Add enters a result.
func (r *Row) Add(result Result) {
	r.Expected += result.Cell.Pairs
	for _, one := range result.Judged {
		r.Flaps += one.Flaps
		r.Lost += one.Lost
		if one.Confirmed {
			r.Confirmed++
		}
		if one.Holds {
			r.Holding++
		}
		r.Errors = append(r.Errors, one.Error.Abs())
		r.Widths = append(r.Widths, one.Bracket.Width())
	}
}

// Rows groups results.
func Rows(results []Result) []*Row {
	var rows []*Row
	for _, result := range results {
		c := result.Cell
		if n := len(rows); n == 0 || rows[n-1].Pairs != c.Pairs || rows[n-1].Mode != c.Mode || rows[n-1].Want != c.Want {
			rows = append(rows, &Row{Pairs: c.Pairs, Mode: c.Mode, Want: c.Want})
		}
		rows[len(rows)-1].Add(result)
	}
	return rows
}

// Report writes the table, and returns an error if a bracket misses its commit or a pair its transition.
func Report(w io.Writer, rows []*Row) error {
	fmt.Fprintf(w, "%6s  %-8s %-8s %8s %8s %6s  %9s %9s %9s  %9s\n", "pairs", "mode", "to", "measured", "hold",
		"flaps", "err p50", "err p99", "err max", "width p50")
	var expected, holding, flaps int
	for _, r := range rows {
		errors, widths := measure.NewDistribution(r.Errors), measure.NewDistribution(r.Widths)
		fmt.Fprintf(w, "%6d  %-8s %-8s %8d %8d %6d  %9s %9s %9s  %9s\n", r.Pairs, r.Mode, r.Want,
			r.Confirmed, r.Holding, r.Flaps, ms(errors.Quantile(.5)), ms(errors.Quantile(.99)), ms(errors.Quantile(1)),
			ms(widths.Quantile(.5)))
		expected, holding, flaps = expected+r.Expected, holding+r.Holding, flaps+r.Flaps
	}
	fmt.Fprintf(w, "%d of %d brackets contain their commit; %d flaps were seen where none were made.\n", holding, expected, flaps)
	if holding != expected || flaps > 0 {
		return fmt.Errorf("hold every bracket: %d of %d do not contain their commit, %d false flaps",
			expected-holding, expected, flaps)
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2fms", float64(d.Microseconds())/1000) }
