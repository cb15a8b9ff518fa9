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
	start := time.Unix(1000, 0)
	samples := []measure.Sample{{Scenario: "policy-creation", Status: measure.Deleted}}
	for i := range 20 {
		lower := start.Add(300*time.Millisecond + time.Duration(i)*100*time.Microsecond)
		bracket := measure.Bracket{Lower: lower, Upper: lower.Add(10*time.Millisecond +
			time.Duration(i)*time.Microsecond)}
		samples = append(samples, measure.Sample{
			Scenario: "policy-creation", Status: measure.Measured, Start: measure.Start{At: start},
			Bracket: bracket, Iteration: i,
		})
	}
	summary := measure.Summarize("policy-creation", samples)
	var b strings.Builder
	rows := append(Rows(summary), Rows(measure.Summarize("empty", nil))...)
	if err := Table(&b, rows, summary.Warnings); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
                                          n     min     p50     p90     p95     p99     max
  policy-creation                     20/21   305ms   306ms   307ms   307ms   307ms   307ms
    95% CI low                                    -   306ms   306ms   307ms   307ms   307ms
    95% CI high                               305ms   306ms       -       -       -       -
    resolution                               10.0ms  10.0ms  10.0ms  10.0ms  10.0ms  10.0ms
  empty                                 0/0       -       -       -       -       -       -
    resolution                                    -       -       -       -       -       -
warning: 1 of 21 pairs deleted: they are in no percentile
`, "\n")
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("Table() (-want +got):\n%s", diff)
	}
}
