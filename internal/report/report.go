// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Report is what there is to say about a run. It is built once; formats print it.
type Report struct {
	Source
	Assessment measure.Assessment
	// Results are those of the assessment, in its order.
	Results []Result
	Nodes   Nodes
}

// Result is one result of a run, with everything that is shown of it.
type Result struct {
	measure.Result
	// Iterations are the summaries of its triggers.
	Iterations []measure.Summary
	// Cells are the shown quantiles, none if there is no latency.
	Cells  []Cell
	Places Places
	// Compared is the comparison of places that the result is in, nil if there is none.
	Compared *PlaceComparison
}

// Cell is a quantile as text: what is known of it, the ends of its interval of 95 % confidence, and
// the same quantile of the resolutions. What is not known is a dash.
type Cell struct {
	measure.NamedQuantile
	Value, Lower, Upper, Resolution string
}

// Build makes the reports of runs.
func Build(sources ...Source) []Report {
	var all []Report
	for _, source := range sources {
		all = append(all, build(source))
	}
	comparePlaces(all)
	return all
}

func build(source Source) Report {
	one := Report{
		Source: source, Assessment: measure.Assess(source.Samples, source.Thresholds),
		Nodes: NewNodes(source),
	}
	one.Assessment.Warnings = source.Run.Warnings
	for _, s := range source.Run.Scenarios {
		if s.Check != nil {
			one.Assessment = one.Assessment.Checked(s.Scenario, s.Setting, *s.Check)
		}
	}
	if cut := source.Run.Cut(); cut != "" {
		one.Assessment = one.Assessment.Incomplete(cut)
	}

	iterations := source.Iterations()
	for i, result := range one.Assessment.Results {
		one.Results = append(one.Results, Result{
			Result: result, Iterations: iterations[i], Cells: Cells(result.Summary),
			Places: one.Nodes.split(result.Samples),
		})
	}
	return one
}

// Name is the scenario of the result, with its setting.
func (r Result) Name() string { return measure.ResultName(r.Summary.Scenario, r.Summary.Setting) }

// Interval is the confidence interval of the quantile, if one of its ends is known.
func (c Cell) Interval() (text string, known bool) {
	return c.Lower + " to " + c.Upper, c.Lower != none || c.Upper != none
}

// none stands for what is not known.
const none = "-"

// Cells are the shown quantiles of a summary, none if its pairs must stay blocked.
func Cells(summary measure.Summary) []Cell {
	if summary.Kind.Stays() {
		return nil
	}

	var all []Cell
	for _, shown := range measure.ShownQuantiles() {
		found := summary.Quantile(shown.Q)
		cell := Cell{
			NamedQuantile: shown, Value: none,
			Lower: end(found.Lower, found.UnboundedBelow), Upper: end(found.Upper, found.Unbounded),
			Resolution: end(summary.Resolution.Quantile(shown.Q), len(summary.Resolution) == 0),
		}
		if summary.HasLatency() {
			cell.Value = found.String()
		}
		all = append(all, cell)
	}

	return all
}

// FindCell is the cell of a quantile of a name.
func FindCell(cells []Cell, name string) Cell {
	for _, one := range cells {
		if one.Name == name {
			return one
		}
	}
	return Cell{Value: none, Lower: none, Upper: none, Resolution: none}
}

// end is an end of an interval, which may be open.
func end(at time.Duration, open bool) string {
	if open {
		return none
	}
	return measure.FormatDuration(at)
}
