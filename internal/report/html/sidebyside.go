// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"
	"io"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

// sideBySide is the part of the document about more than two sides.
type sideBySide struct {
	Sides       []namedSide
	Shown       string
	Differences []string
	Warnings    []string
	Results     []sideBySideResult
}

// namedSide is a side with its name in the tables.
type namedSide struct{ Name, Description string }

// sideBySideResult is one result on all sides. Without a chart, its pairs must stay blocked.
type sideBySideResult struct {
	Anchor, Name string
	Rows         []report.Row
	Chart        *chart
}

// WriteSideBySide writes the document about more than two sides. It runs no script.
func WriteSideBySide(w io.Writer, c report.SideBySide) error {
	loaded, err := loadAssets(nil)
	if err != nil {
		return err
	}

	shown := sideBySide{Shown: c.Shown(), Warnings: c.Warnings}
	for i, side := range c.Sides {
		shown.Sides = append(shown.Sides, namedSide{c.Names[i], side.Describe()})
	}
	for _, difference := range c.Differences {
		shown.Differences = append(shown.Differences, difference.Text())
	}
	for i, one := range c.Results {
		result := sideBySideResult{
			Anchor: fmt.Sprintf("result-%d", i+1), Name: one.Name, Rows: one.Rows(),
		}
		if one.HasLatency() {
			result.Chart = allSides(one, c.Names)
			result.Chart.Unit = c.Unit
		}
		shown.Results = append(shown.Results, result)
	}

	return write(w, page{
		assets: loaded, Title: "netpol-latency: side by side", SideBySide: &shown,
	})
}

// looks is how many curves have a look of their own.
const looks = 6

// allSides draws the distributions of a result, each with a look of its own as far as there are
// so many.
func allSides(r report.SideBySideResult, names []string) *chart {
	label := fmt.Sprintf("Share of the pairs of %s that had changed by a time.", r.Name)
	var curves []curve
	for i, one := range r.Of {
		curves = append(curves, newCurve(names[i], one.Samples))
		label += fmt.Sprintf(" %s: median %s, 99th percentile %s.", names[i],
			quantile(one, 0.5), quantile(one, 0.99))
	}

	drawn := newChart(label, curves...)
	for i := range drawn.Curves {
		drawn.Curves[i].Class = fmt.Sprintf("side-%d", i%looks+1)
	}
	return drawn
}

// quantile is a quantile of a result as text.
func quantile(r measure.Result, q float64) string {
	if !r.Summary.HasLatency() {
		return "unknown"
	}
	return r.Summary.Quantile(q).String()
}
