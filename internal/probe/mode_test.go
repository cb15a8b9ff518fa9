// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import "testing"

// TestDefaultMaxRate gives a machine with few processors a rate that leaves it most of them.
func TestDefaultMaxRate(t *testing.T) {
	for _, test := range []struct {
		mode       Mode
		processors int
		want       float64
	}{
		{Connect, 1, 5000},
		{Connect, 2, 10_000},
		{UDP, 3, 15_000},
		{Connect, MinProcs, 20_000},
		{SCTP, 64, 20_000},
		{SYN, 1, 20_000},
		{SYN, 3, 60_000},
		{SYN, MinProcs, 100_000},
		{SYN, 64, 100_000},
		{HTTP, 1, 5000},
		{Established, 64, 5000},
	} {
		if got := test.mode.DefaultMaxRate(test.processors); got != test.want {
			t.Errorf("%s on %d processors sends %.0f a second; want %.0f", test.mode,
				test.processors, got, test.want)
		}
	}
}
