// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"io"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

// Report writes what the client says beside what the engine did.
func Report(w io.Writer, scenario string, result Result) error {
	summary := measure.Summarize(scenario, result.Samples)
	rows := append(report.Rows(summary),
		report.DistributionRow("  truth: notified to committed", Enforcements(result.Evaluated)),
		report.DistributionRow("  error of the reported instant", Errors(result.Evaluated)),
	)
	if err := report.Table(w, rows, summary.Warnings); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d of %d brackets contain the commit. %s.\n",
		Holding(result.Evaluated), len(result.Evaluated), summary.Account)
	return err
}
