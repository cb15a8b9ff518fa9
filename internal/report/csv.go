// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// CSV writes a header and one line for each sample (RFC 4180). Durations are nanoseconds; what has
// no value is empty.
func CSV(w io.Writer, reports []Report) error {
	lines := csv.NewWriter(w)
	lines.UseCRLF = true
	columns := csvColumns()
	var header []string
	for _, column := range columns {
		header = append(header, column.name)
	}

	_ = lines.Write(header) // an error stays for the end
	for _, report := range reports {
		for _, sample := range report.Samples {
			var cells []string
			for _, column := range columns {
				cells = append(cells, noFormula(column.cell(report.Source, sample)))
			}
			_ = lines.Write(cells)
		}
	}

	lines.Flush()
	if err := lines.Error(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}

	return nil
}

// noFormula keeps a spreadsheet from taking a text for a formula, which may open files and
// addresses: it is quoted as spreadsheets do. A number stays one.
func noFormula(cell string) string {
	if _, err := strconv.ParseFloat(cell, 64); err == nil || cell == "" ||
		!strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(cell)[0]) {
		return cell
	}
	return "'" + cell
}

// csvColumn is one column: its name and what stands in it.
type csvColumn struct {
	name string
	cell func(Source, measure.Sample) string
}

func csvColumns() []csvColumn {
	of := func(name string, cell func(measure.Sample) string) csvColumn {
		return csvColumn{name, func(_ Source, s measure.Sample) string { return cell(s) }}
	}

	latency := func(name string, whole bool, part func(measure.Latency) time.Duration) csvColumn {
		return of(name, func(s measure.Sample) string {
			if s.Status != measure.Measured || s.Kind.Stays() ||
				whole && !s.Bracket.Bounded() {
				return ""
			}
			return strconv.FormatInt(int64(part(s.Latency())), 10)
		})
	}

	return []csvColumn{
		{"run", func(source Source, _ measure.Sample) string { return source.Run.ID }},
		of("scenario", func(s measure.Sample) string { return s.Scenario }),
		of("setting", func(s measure.Sample) string { return s.Setting }),
		of("round", func(s measure.Sample) string { return strconv.Itoa(s.Iteration) }),
		of("agent", func(s measure.Sample) string { return strconv.Itoa(s.Agent) }),
		of("client", func(s measure.Sample) string { return object(s.Client) }),
		of("target", func(s measure.Sample) string { return object(s.Target.Pod) }),
		of("address", func(s measure.Sample) string {
			if !s.Target.Address.IsValid() {
				return ""
			}
			return s.Target.Address.String()
		}),
		of("status", func(s measure.Sample) string { return s.Status.String() }),
		of("reason", func(s measure.Sample) string { return s.Reason }),
		of("want", func(s measure.Sample) string { return s.Want.String() }),
		of("start_source", func(s measure.Sample) string { return string(s.Start.Source) }),
		of("start", func(s measure.Sample) string { return instant(s.Start.At) }),
		of("lower", func(s measure.Sample) string { return instant(s.Bracket.Lower) }),
		of("upper", func(s measure.Sample) string { return instant(s.Bracket.Upper) }),
		of("ended", func(s measure.Sample) string { return instant(s.Ended) }),
		latency("latency_lower_ns", true, func(l measure.Latency) time.Duration { return l.Lower }),
		latency("latency_ns", true, measure.Latency.Estimate),
		latency("latency_upper_ns", false, func(l measure.Latency) time.Duration {
			return l.Upper
		}),
		of("forbidden", func(s measure.Sample) string {
			return strconv.FormatBool(s.Kind == measure.KindBlocked)
		}),
		of("leaks", func(s measure.Sample) string { return strconv.Itoa(s.Leaks) }),
		of("flaps", func(s measure.Sample) string { return strconv.Itoa(s.CountFlaps()) }),
		of("lost", func(s measure.Sample) string { return strconv.FormatUint(s.Lost, 10) }),
	}
}

// object is a pod as kubectl names it.
func object(o measure.Object) string {
	if o.Name == "" {
		return ""
	}
	return o.Namespace + "/" + o.Name
}

func instant(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}
