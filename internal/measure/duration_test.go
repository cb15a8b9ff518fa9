// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"testing"
	"time"
)

func TestFormatDuration(t *testing.T) {
	tests := map[time.Duration]string{
		0:                          "0.00ms",
		-12345 * time.Microsecond:  "-12.3ms",
		1234 * time.Microsecond:    "1.23ms",
		98765 * time.Microsecond:   "98.8ms",
		1234567 * time.Microsecond: "1235ms",
	}
	for d, want := range tests {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%d) = %q; want %q", d, got, want)
		}
	}
}
