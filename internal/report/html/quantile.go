// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"strconv"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

// shares are the quantiles that are shown.
func shares() []float64 { return []float64{0, 0.5, 0.9, 0.95, 0.99, 1} }

// quantileRow is a quantile with what is to be known about it.
type quantileRow struct {
	Name       string
	Value      string
	Interval   string
	Resolution string
}

func newQuantileRow(summary measure.Summary, q float64) quantileRow {
	row := quantile(summary, q)
	row.Resolution = "–"
	if len(summary.Resolution) > 0 {
		row.Resolution = duration(summary.Resolution.Quantile(q))
	}
	return row
}

// quantile is a quantile with its interval of 95 % confidence. Where the interval has no end, a dash stands for it.
func quantile(summary measure.Summary, q float64) quantileRow {
	row := quantileRow{Name: shareName(q), Value: "–", Interval: "–"}
	if summary.Account.Count(measure.Measured)+summary.Account.Count(measure.Censored) == 0 {
		return row
	}
	found := summary.Quantile(q)
	row.Value = duration(found.Value)
	if found.Longer {
		row.Value = ">" + row.Value
	}
	if q == 0 || q == 1 || found.Open && found.OpenBelow {
		return row // no sample tells the extremes of a population
	}
	lower, upper := "?", "?"
	if !found.OpenBelow {
		lower = duration(found.Lower)
	}
	if !found.Open {
		upper = duration(found.Upper)
	}
	row.Interval = lower + " to " + upper
	return row
}

// duration writes a duration as the scripts do.
func duration(d time.Duration) string { return strings.Replace(report.Duration(d), "ms", " ms", 1) }

func shareName(q float64) string {
	switch q {
	case 0:
		return "minimum"
	case 0.5:
		return "median"
	case 1:
		return "maximum"
	}
	return "p" + strings.TrimSuffix(strconv.FormatFloat(q*100, 'f', 1, 64), ".0")
}
