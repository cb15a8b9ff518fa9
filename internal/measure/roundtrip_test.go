// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"testing"
	"time"
)

// TestRoundTrips remembers a hiccup for as long as two windows of replies, and takes a reply for
// overdue by what it remembers.
func TestRoundTrips(t *testing.T) {
	var trips RoundTrips
	if _, known := trips.Overdue(); known {
		t.Error("a reply is overdue before there was one")
	}
	expect := func(when string, slowest, overdue time.Duration) {
		t.Helper()
		if got := trips.Slowest(); got != slowest {
			t.Errorf("%s: slowest %s; want %s", when, got, slowest)
		}
		if got, known := trips.Overdue(); got != overdue || !known {
			t.Errorf("%s: overdue after %s, known %t; want %s", when, got, known, overdue)
		}
	}
	trips.Add(100 * time.Microsecond)
	expect("a fast network", 100*time.Microsecond, shortestOverdue)
	trips.Add(20 * time.Millisecond)
	expect("a hiccup", 20*time.Millisecond, 80*time.Millisecond)
	for range 2*window - 2 {
		trips.Add(time.Millisecond)
	}
	expect("the end of the second window", 20*time.Millisecond, 80*time.Millisecond)
	trips.Add(2 * time.Millisecond)
	expect("long after the hiccup", 2*time.Millisecond, 8*time.Millisecond)
}
