// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
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

func placeRows(places ...report.Located) []placeRow {
	var rows []placeRow
	for _, one := range places {
		account := one.Summary.Account
		rows = append(rows, placeRow{
			Name:   cmp.Or(string(one.Place), "not known"),
			Of:     fmt.Sprintf("%d of %d", account.Count(measure.Measured), account.Expected),
			Median: newQuantileRow(report.FindCell(one.Cells, "p50")),
			P99:    newQuantileRow(report.FindCell(one.Cells, "p99")),
		})
	}
	return rows
}
