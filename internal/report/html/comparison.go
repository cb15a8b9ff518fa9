// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

// WriteComparison writes the document about a comparison. It runs no script.
func WriteComparison(w io.Writer, c report.Comparison) error {
	loaded, err := loadAssets(nil)
	if err != nil {
		return err
	}

	shown := comparison{
		Old: c.Old.Describe(), New: c.New.Describe(),
		Checks: c.Checks, Warnings: c.Warnings,
	}

	for i, one := range c.Results {
		result := compared{
			Anchor: fmt.Sprintf("result-%d", i+1), Name: one.Name, Counts: one.Counts(c.Unit),
			Statistics: one.Statistics,
		}
		if len(one.Statistics) > 0 {
			result.Chart = oldAndNew(one)
			result.Chart.Unit = c.Unit
		}
		shown.Results = append(shown.Results, result)
	}

	return write(w, page{
		assets: loaded, Title: "netpol-latency: old vs new", Comparison: &shown,
	})
}

// comparison is the part of the document about two sides.
type comparison struct {
	Old, New string
	Checks   []report.Check
	Warnings []string
	Results  []compared
}

// compared is one result on both sides. Without statistics, its pairs must stay blocked.
type compared struct {
	Anchor, Name, Counts string
	Statistics           []report.ComparedStatistic
	Chart                *chart
}

// chart is distributions, drawn: what fraction of the pairs had changed after how long.
type chart struct {
	Curves    []drawnCurve
	Unit      report.Unit // what repeats the pairs
	Ticks     []tick
	Fractions []tick
	Label     string
}

// drawnCurve is a curve as a path of SVG, with the class that gives it its look.
type drawnCurve struct{ Name, Class, Path string }

// tick is a line of the grid, with its label.
type tick struct {
	At   float64
	Text string
}

// The corners of the plot in the chart, which is 720 by 300.
const (
	chartLeft, chartRight = 60.0, 700.0
	chartTop, chartBottom = 15.0, 255.0
)

// oldAndNew draws the distributions of both sides.
func oldAndNew(r report.Compared) *chart {
	label := fmt.Sprintf("Share of the pairs of %s that had changed by a time. Old: median %s, "+
		"99th percentile %s. New: median %s, 99th percentile %s.", r.Name,
		r.Old.Quantile(0.5), r.Old.Quantile(0.99), r.New.Quantile(0.5), r.New.Quantile(0.99))
	return newChart(label, newCurve("old", r.OldSamples), newCurve("new", r.NewSamples))
}

// newChart draws curves over each other. The name of each is its class, too.
func newChart(label string, curves ...curve) *chart {
	least, most := span(curves...)
	x := func(ms float64) float64 {
		return chartLeft + (chartRight-chartLeft)*(ms-least)/max(most-least, 1e-6)
	}
	drawn := &chart{Label: label}
	for _, one := range curves {
		drawn.Curves = append(drawn.Curves, drawnCurve{one.Name, one.Name, one.path(x)})
	}

	step := niceStep(most - least)
	for at := step * math.Ceil(least/step); at <= most; at += step {
		text := measure.FormatDuration(time.Duration(at * float64(time.Millisecond)))
		drawn.Ticks = append(drawn.Ticks, tick{x(at), text})
	}
	for _, fraction := range []float64{0, 0.25, 0.5, 0.75, 1} {
		drawn.Fractions = append(drawn.Fractions, tick{y(fraction),
			fmt.Sprintf("%.0f %%", 100*fraction)})
	}
	return drawn
}

// y is where a fraction stands in the chart.
func y(fraction float64) float64 { return chartBottom - (chartBottom-chartTop)*fraction }

// span is from the least to the greatest time of both curves.
func span(curves ...curve) (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for _, one := range curves {
		for _, at := range one.Estimate {
			least, most = min(least, at[0]), max(most, at[0])
		}
	}
	if math.IsInf(least, 0) {
		return 0, 1
	}
	return least, most
}

// niceStep divides a span of milliseconds into at most eight steps of a round number.
func niceStep(span float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(max(span, 1e-3)/8)))
	for _, factor := range []float64{1, 2, 5} {
		if step*factor*8 >= span {
			return step * factor
		}
	}
	return step * 10
}

// path is the curve as steps. It ends where the first censored pair was given up, and reaches the
// right edge if there is none.
func (c curve) path(x func(ms float64) float64) string {
	if len(c.Estimate) == 0 {
		return ""
	}
	var path strings.Builder
	fmt.Fprintf(&path, "M%.1f %.1f", x(c.Estimate[0][0]), y(0))
	for _, at := range c.Estimate {
		fmt.Fprintf(&path, "H%.1fV%.1f", x(at[0]), y(at[1]))
	}
	if last := c.Estimate[len(c.Estimate)-1]; last[1] == 1 {
		fmt.Fprintf(&path, "H%.1f", chartRight)
	}
	return path.String()
}
