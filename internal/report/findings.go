// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Findings writes what samples show beyond the tables, and how each threshold stands.
func Findings(w io.Writer, assessment measure.Assessment) error {
	var page bytes.Buffer
	for _, finding := range notable(assessment) {
		wrapped(&page, fmt.Sprintf("finding (%s): ", finding.Severity), finding.String())
	}
	for _, one := range assessment.Thresholds {
		fmt.Fprintln(&page, "threshold "+one.Text)
	}
	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write the findings: %w", err)
	}
	return nil
}

// notable are the findings that a reader of the tables does not expect. Thresholds have lines of
// their own.
func notable(assessment measure.Assessment) []measure.Finding {
	var all []measure.Finding
	for _, one := range assessment.Findings {
		if one.Severity != measure.SeverityOK && one.Topic != measure.TopicThreshold {
			all = append(all, one)
		}
	}
	return all
}

// outcome says in a line how a run ends.
func outcome(assessment measure.Assessment) string {
	if assessment.Reason == "" {
		return "outcome: " + assessment.Outcome.String()
	}
	return fmt.Sprintf("outcome: %s: %s", assessment.Outcome, assessment.Reason)
}
