// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// TestSummaryExitCode has a summary tell that not every target was measured.
func TestSummaryExitCode(t *testing.T) {
	measured := measure.Sample{Status: measure.Measured}
	tests := []struct {
		name    string
		wait    bool
		samples []measure.Sample
		want    int
	}{
		{name: "nothing yet", want: ExitOK},
		{name: "nothing at the end", wait: true, want: ExitCensored},
		{name: "all measured", wait: true, samples: []measure.Sample{measured, measured},
			want: ExitOK},
		{name: "one censored", samples: []measure.Sample{measured, {Status: measure.Censored}},
			want: ExitCensored},
		{name: "one invalid", wait: true,
			samples: []measure.Sample{measured, {Status: measure.Invalid}}, want: ExitCensored},
		{name: "one deleted", samples: []measure.Sample{{Status: measure.Deleted}, measured},
			want: ExitCensored},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			options := summaryOptions{wait: test.wait}
			if got := exitCode(options.allMeasured(test.samples)); got != test.want {
				t.Errorf("exit code %d; want %d", got, test.want)
			}
		})
	}
}
