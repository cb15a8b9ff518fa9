// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// threshold is a limit of a result, and how it stands.
type threshold struct {
	Severity    severity
	About, Text string
}

// thresholds tells how each threshold stands for each result that it is about.
func thresholds(found []measure.Evaluation) []threshold {
	var all []threshold
	for _, one := range found {
		about := measure.ResultName(one.Summary.Scenario, one.Summary.Setting)
		all = append(all, threshold{severity(one.Severity()), about, one.Text})
	}
	return all
}
