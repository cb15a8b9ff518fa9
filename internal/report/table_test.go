// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

func TestTable(t *testing.T) {
	var estimates, widths []time.Duration
	for i := range 20 {
		estimates = append(estimates, 305*time.Millisecond+time.Duration(i)*100*time.Microsecond)
		widths = append(widths, 10*time.Millisecond+time.Duration(i)*time.Microsecond)
	}
	summary := measure.Summary{
		Scenario: "policy-creation", Account: measure.Account{Expected: 21},
		Latency: measure.NewDistribution(estimates), Resolution: measure.NewDistribution(widths),
		Warnings: []string{"1 of 21 targets censored: they are in no percentile"},
	}
	for range 20 {
		summary.Account.End(measure.Measured)
	}
	var b strings.Builder
	rows := append(Rows(summary), Row{Label: "empty", Of: "0/3"})
	if err := Table(&b, rows, summary.Warnings); err != nil {
		t.Fatal(err)
	}
	want := `                                         of     min     p50     p90     p95     p99     max
  policy-creation                     20/21   305ms   306ms   307ms   307ms   307ms   307ms
    resolution                               10.0ms  10.0ms  10.0ms  10.0ms  10.0ms  10.0ms
  empty                                 0/3       -       -       -       -       -       -
warning: 1 of 21 targets censored: they are in no percentile
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("Table() (-want +got):\n%s", diff)
	}
}

func TestDuration(t *testing.T) {
	tests := map[time.Duration]string{
		0:                          "0.00ms",
		-12345 * time.Microsecond:  "-12.3ms",
		1234 * time.Microsecond:    "1.23ms",
		98765 * time.Microsecond:   "98.8ms",
		1234567 * time.Microsecond: "1235ms",
	}
	for d, want := range tests {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %q; want %q", d, got, want)
		}
	}
}
