// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// ComparisonHTML writes a page that stands for itself: no script, nothing that is fetched.
func ComparisonHTML(w io.Writer, c Comparison) error {
	page, err := template.New("comparison").Funcs(template.FuncMap{
		"chart": chartOf, "cells": ComparedFigure.cells, "counts": Compared.counts, "describe": Side.describe,
	}).Parse(comparisonPage)
	if err != nil {
		return fmt.Errorf("read the template: %w", err)
	}
	if err := page.Execute(w, c); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}
	return nil
}

// chart is two distributions, drawn: what share of the pairs had changed after how long.
type chart struct {
	Old, New string // the paths of the curves
	Ticks    []tick
	Shares   []tick
	Label    string
}

// tick is a line of the grid, with its label.
type tick struct {
	At   float64
	Text string
}

// The corners of the plot in the chart, which is 720 by 300.
const (
	chartLeft, chartRight = 60.0, 700.0
	chartTop, chartBottom = 15.0, 255.0
	// chartPoints is how many points a curve has at most: more than that nobody sees.
	chartPoints = 400
)

func chartOf(r Compared) chart {
	least, most := span(r.Old.Latency, r.New.Latency)
	x := func(d time.Duration) float64 {
		return chartLeft + (chartRight-chartLeft)*float64(d-least)/float64(max(most-least, 1))
	}
	found := chart{
		Old: curve(r.Old, x), New: curve(r.New, x),
		Label: fmt.Sprintf("Share of the pairs of %s that had changed by a time. Old: median %s, 99th percentile %s. "+
			"New: median %s, 99th percentile %s.", r.Name, r.Old.Quantile(0.5),
			r.Old.Quantile(0.99),
			r.New.Quantile(0.5), r.New.Quantile(0.99)),
	}
	step := niceStep(most - least)
	for at := least.Truncate(step); at <= most; at += step {
		if at >= least {
			found.Ticks = append(found.Ticks, tick{x(at), at.String()})
		}
	}
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
		found.Shares = append(found.Shares, tick{y(share), fmt.Sprintf("%.0f %%", 100*share)})
	}
	return found
}

// y is where a share stands in the chart.
func y(share float64) float64 { return chartBottom - (chartBottom-chartTop)*share }

// span is from the least to the greatest latency of both.
func span(a, b measure.Distribution) (least, most time.Duration) {
	all := measure.NewDistribution(append(append([]time.Duration{}, a...), b...))
	return all.Quantile(0), all.Quantile(1)
}

// niceStep divides a span into at most eight steps of a round number.
func niceStep(span time.Duration) time.Duration {
	step := math.Pow(10, math.Floor(math.Log10(max(float64(span), 1000)/8)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if step*factor*8 >= float64(span) {
			return time.Duration(step * factor)
		}
	}
	return max(span, 1)
}

// curve is the empirical distribution as steps. Pairs that never changed keep it from reaching the top.
func curve(s measure.Summary, x func(time.Duration) float64) string {
	all := len(s.Latency) + s.Account.Count(measure.Censored)
	if len(s.Latency) == 0 {
		return ""
	}
	var path strings.Builder
	fmt.Fprintf(&path, "M%.1f %.1f", x(s.Latency[0]), y(0))
	stride := max(1, len(s.Latency)/chartPoints)
	for i := 0; i < len(s.Latency); i += stride {
		last := min(i+stride, len(s.Latency)) // of the step
		fmt.Fprintf(&path, "H%.1fV%.1f", x(s.Latency[last-1]), y(float64(last)/float64(all)))
	}
	fmt.Fprintf(&path, "H%.1f", chartRight)
	return path.String()
}

const comparisonPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Network policy latency, old against new</title>
<style>
:root { color-scheme: light dark; --back: #fff; --text: #1c1c1c; --faint: #5c5c5c; --line: #d0d0d0; --old: #0b5fa5; --new: #b03a00; }
@media (prefers-color-scheme: dark) {
  :root { --back: #15181c; --text: #e8e8e8; --faint: #a8a8a8; --line: #3c4148; --old: #6fb7f2; --new: #ff9e66; }
}
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .5rem; text-align: right; white-space: nowrap; }
th:first-child { text-align: left; }
svg { width: 100%; height: auto; } svg text { fill: var(--faint); font-size: 12px; }
.grid { stroke: var(--line); } .old, .new { fill: none; stroke-width: 2; }
.old { stroke: var(--old); stroke-dasharray: 6 3; } .new { stroke: var(--new); }
.exceeded { font-weight: bold; }
@media print { body { margin: 0; max-width: none; } section { break-inside: avoid; } }
</style>
</head>
<body>
<main>
<h1>Network policy latency, old against new</h1>
<p>Old (dashed): {{describe .Old}}<br>New: {{describe .New}}</p>
{{- if .Checks}}
<ul>
{{- range .Checks}}
<li{{if .Exceeded}} class="exceeded"{{end}}>{{.Text}}</li>
{{- end}}
</ul>
{{- end}}
{{- if .Warnings}}
<ul>
{{- range .Warnings}}
<li>Warning: {{.}}</li>
{{- end}}
</ul>
{{- end}}
{{- $unit := .Unit}}
{{- range .Results}}
<section>
<h2>{{.Name}}</h2>
<p>{{counts . $unit}}</p>
{{- if .Figures}}
{{- with chart .}}
<svg viewBox="0 0 720 300" role="img" aria-label="{{.Label}}">
{{- range .Shares}}
<line class="grid" x1="60" x2="700" y1="{{.At}}" y2="{{.At}}"/><text x="52" y="{{.At}}" dy="4" text-anchor="end">{{.Text}}</text>
{{- end}}
{{- range .Ticks}}
<line class="grid" x1="{{.At}}" x2="{{.At}}" y1="15" y2="255"/><text x="{{.At}}" y="273" text-anchor="middle">{{.Text}}</text>
{{- end}}
<path class="old" d="{{.Old}}"/><path class="new" d="{{.New}}"/>
<text x="380" y="294" text-anchor="middle">latency; all pairs of all {{$unit}}s</text>
</svg>
{{- end}}
<div class="wide" tabindex="0" role="region" aria-label="Figures of {{.Name}}">
<table>
<thead><tr><th scope="col">figure</th><th scope="col">old</th><th scope="col">new</th><th scope="col">change</th>
<th scope="col">95 % from</th><th scope="col">to</th><th scope="col">in %</th><th scope="col">from</th><th scope="col">to</th>
<th scope="col">p</th><th scope="col">shown</th></tr></thead>
<tbody>
{{- range .Figures}}
<tr><th scope="row">{{.Figure}}</th>{{range cells .}}<td>{{.}}</td>{{end}}</tr>
{{- end}}
</tbody>
</table>
</div>
{{- end}}
</section>
{{- end}}
</main>
</body>
</html>
`
