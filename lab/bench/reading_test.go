// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"
)

// TestCheck tells a turn that measured what it was meant to from one that would be cheap for other
// reasons.
func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name    string
		reading Reading
		state   State
		want    string // part of the error, none if empty
	}{
		{"dropped, and nothing came back", Reading{Probes: 1000, Sent: 1000}, Dropped, ""},
		{"dropped, and a few strays came", Reading{Probes: 40, Sent: 44, Received: 5}, Dropped, ""},
		{"dropped, and yet answered", Reading{Probes: 1000, Sent: 1000, Received: 1000}, Dropped,
			"1000 packets came back"},
		{"answered", Reading{Probes: 1000, Sent: 2000, Received: 1000}, Answered, ""},
		{"answered, and nothing came back", Reading{Probes: 1000, Sent: 1000}, Answered,
			"only 0 packets came back"},
		{"probes that never left", Reading{Probes: 1000, Sent: 3}, Dropped, "only 3 packets left"},
		{"no probe at all", Reading{}, Dropped, "no probe was made"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.reading.check(test.state)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("unexpected: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("the error is %v: want %q", err, test.want)
			}
		})
	}
}
