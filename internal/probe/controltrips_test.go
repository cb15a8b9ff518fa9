// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"testing"
	"time"
)

// TestControlTrips finds how long the path took around the time of a probe, and no other.
func TestControlTrips(t *testing.T) {
	at := func(milliseconds int) instant {
		return instant(10*time.Second) + instant(milliseconds)*instant(time.Millisecond)
	}
	var controls controlTrips
	for i := range 100 {
		sent, took := at(20*i), 1
		if i == 50 {
			took = 90 // the path stood still from 1,000 on
		}
		controls.add(sent, sent+instant(took)*instant(time.Millisecond))
	}
	tests := []struct {
		name string
		sent int
		want time.Duration
	}{
		{"before", 900, time.Millisecond},
		{"just before", 960, 90 * time.Millisecond},
		{"while it was under way", 1080, 90 * time.Millisecond},
		{"after", 1100, time.Millisecond},
		{"before any control", -500, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := controls.around(at(test.sent)); got != test.want {
				t.Errorf("the path took %s; want %s", got, test.want)
			}
		})
	}
}
