// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"io"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

// Report writes what the client says beside what the engine did, as far as the lab knows.
func (t Trial) Report(w io.Writer, result Result) error {
	summary := measure.Summarize(t.Scenario, result.Samples)
	rows := report.Rows(summary)
	if t.Truth != "" {
		rows = append(rows,
			report.DistributionRow("  truth: notified to committed",
				Enforcements(result.Evaluated)),
			report.DistributionRow("  error of the reported instant", Errors(result.Evaluated)),
		)
	}
	if err := report.Table(w, rows, summary.Warnings); err != nil {
		return err
	}

	var held string
	if t.Truth != "" {
		held += fmt.Sprintf("%d of %d brackets contain the commit. ", Holding(result.Evaluated),
			len(result.Evaluated))
	}
	if t.Commits != "" {
		held += fmt.Sprintf("%d of %d contain one that the kernel announced. ",
			Witnessing(result.Evaluated), len(result.Evaluated))
	}
	_, err := fmt.Fprintf(w, "%s%s.\n", held, summary.Account)
	return err
}
