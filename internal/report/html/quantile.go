// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

// quantileRow is a quantile with what is to be known about it.
type quantileRow struct {
	Name       string
	Value      string
	Interval   string
	Resolution string
}

// newQuantileRow is a cell in the words of the page. No sample tells the extremes of a population.
func newQuantileRow(cell report.Cell) quantileRow {
	row := quantileRow{Name: cell.Name, Value: cell.Value, Resolution: cell.Resolution,
		Interval: "-"}
	switch cell.Name {
	case "min":
		row.Name = "minimum"
		return row
	case "max":
		row.Name = "maximum"
		return row
	case "p50":
		row.Name = "median"
	}

	if interval, known := cell.Interval(); known {
		row.Interval = interval
	}

	return row
}

// placeRow is the latency of the pairs that were placed in one way.
type placeRow struct {
	Name        string
	Of          string
	Median, P99 quantileRow
}

func placeRows(places report.Places) []placeRow {
	var rows []placeRow
	for _, group := range []struct {
		name  string
		place report.Place
	}{
		{"same node", report.PlaceSame}, {"other node", report.PlaceOther},
		{"not known", report.PlaceUnknown},
	} {
		samples := places[group.place]
		if len(samples) == 0 {
			continue
		}
		summary := measure.Summarize(group.name, samples)
		cells := report.Cells(summary)
		rows = append(rows, placeRow{
			Name: group.name, Median: newQuantileRow(report.FindCell(cells, "p50")),
			P99: newQuantileRow(report.FindCell(cells, "p99")),
			Of: fmt.Sprintf("%d of %d", summary.Account.Count(measure.Measured),
				summary.Account.Expected),
		})
	}

	return rows
}
