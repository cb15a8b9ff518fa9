// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"
)

// TestArguments spells out how programs are called: an option that is not understood would measure
// something else.
func TestArguments(t *testing.T) {
	for _, test := range []struct {
		program func(Turn, int) ([]string, error)
		state   State
		want    string
	}{
		{fping, Dropped, "--quiet --count=1 --timeout=200 --interval=0.010 --generate 10.91.0.1 " +
			"10.91.39.16"},
		{fping, Answered, "--quiet --count=1 --timeout=200 --interval=0.050 --generate " +
			"10.91.39.17 10.91.78.32"},
		{hping3, Dropped, "--quiet --numeric --syn --destport 80 --interval u10 --count 10000 " +
			"10.91.0.1"},
		{hping3, Answered, "--quiet --numeric --syn --destport 80 --interval u50 --count 10000 " +
			"10.91.39.17"},
	} {
		got, err := test.program(Turn{State: test.state}, span)
		if line := strings.Join(got, " "); line != test.want || err != nil {
			t.Errorf("the arguments are %q, %v: want %q", line, err, test.want)
		}
	}
}

func TestTail(t *testing.T) {
	if got := tail([]byte(strings.Repeat("x", 500) + "\nno\r\nroute ")); !strings.HasSuffix(got,
		"x no route") {
		t.Errorf("the end is %q: want it on one line", got)
	}
}
