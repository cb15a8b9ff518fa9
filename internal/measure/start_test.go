// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"testing"
	"time"
)

func TestNarrow(t *testing.T) {
	reads := StartOfReads(StartRead, at(10), at(14))
	tests := []struct {
		name       string
		other      Start
		from, to   int
		contradict bool
	}{
		{"a wide write around the reads", StartOfWrite(at(0), at(50)), 10, 14, false},
		{"a write that ended first", StartOfWrite(at(0), at(12)), 10, 12, false},
		{"a write that began in between", StartOfWrite(at(11), at(50)), 11, 14, false},
		{"a write within", StartOfWrite(at(11), at(12)), 11, 12, false},
		{"touching", StartOfWrite(at(14), at(20)), 14, 14, false},
		{"a write after the reads", StartOfWrite(at(15), at(20)), 0, 0, true},
		{"a write before the reads", StartOfWrite(at(5), at(9)), 0, 0, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := reads.Narrow(test.other)
			if ok == test.contradict {
				t.Fatalf("the starts agree: %t; want %t", ok, !test.contradict)
			}
			if test.contradict {
				return
			}
			if got.Source != StartRead || !got.At.Equal(at(test.from)) ||
				!got.Latest().Equal(at(test.to)) {
				t.Errorf("the start is %+v; want it from %v to %v", got, at(test.from), at(test.to))
			}
		})
	}
}

// What a run wrote cannot have worked before it was sent, and what was read cannot have worked
// before the last read that did not see it.
func TestLatencyIsNotNegative(t *testing.T) {
	bracket := Bracket{Lower: at(8), Upper: at(13)}
	tests := []struct {
		name  string
		start Start
		lower time.Duration
	}{
		{"an own write", StartOfWrite(at(10), at(12)), 0},
		{"reads", StartOfReads(StartRead, at(9), at(12)), 0},
		{"reads and a watch", StartOfReads(StartWatchRead, at(9), at(12)), 0},
		{"an own write that ended before", StartOfWrite(at(2), at(6)), 2 * time.Millisecond},
		{"the arrival of news", Start{Source: StartWatch, At: at(12)}, -4 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sample := Sample{Status: Measured, Start: test.start, Bracket: bracket}
			if got := sample.Latency().Lower; got != test.lower {
				t.Errorf("the latency is at least %v; want %v", got, test.lower)
			}
		})
	}
}
