// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// threshold is a limit of a result, and how it stands.
type threshold struct {
	Tone        tone
	About, Text string
}

// judge tells how each threshold stands for each result that it is about.
func judge(found []measure.Judgement) []threshold {
	var all []threshold
	for _, one := range found {
		shown := threshold{bad, named(one.Summary.Scenario, one.Summary.Setting), one.Text}
		if one.Holds {
			shown.Tone = good
		}
		all = append(all, shown)
	}
	return all
}
