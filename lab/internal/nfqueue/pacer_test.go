// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package nfqueue

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ms = time.Millisecond

// The pacer's times are a function of the arrivals.
func TestPacer(t *testing.T) {
	tests := []struct {
		name          string
		rate          int
		arrived, want []time.Duration
	}{
		{"one packet takes its time", 500, []time.Duration{0}, []time.Duration{2 * ms}},
		{"packets at once wait for each other", 500, []time.Duration{0, 0, 0},
			[]time.Duration{2 * ms, 4 * ms, 6 * ms}},
		{"a slow sender never waits", 500, []time.Duration{0, 10 * ms, 20 * ms},
			[]time.Duration{2 * ms, 12 * ms, 22 * ms}},
		{"an idle time gives no credit", 500, []time.Duration{0, 100 * ms, 100 * ms, 101 * ms},
			[]time.Duration{2 * ms, 102 * ms, 104 * ms, 106 * ms}},
		{"a fast engine", 20000, []time.Duration{0, 0},
			[]time.Duration{50 * time.Microsecond, 100 * time.Microsecond}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			pace := newPacer(test.rate)
			var got []time.Duration
			for _, at := range test.arrived {
				got = append(got, pace.done(begin.Add(at)).Sub(begin))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("when packets are done with (-want +got):\n%s", diff)
			}
		})
	}
}

// A burst leaves in its order, at the rate and not faster, and a sleep that was too long does not
// slow down those that come after it.
func TestJudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, burst = 500, 100
		packets := make(chan packet, burst)
		began := time.Now()
		for id := range uint32(burst) {
			packets <- packet{id, began}
		}
		close(packets)

		var order []uint32
		late := 1
		sleep := func(d time.Duration) {
			time.Sleep(d)
			if late--; late == 0 {
				time.Sleep(5 * ms)
			}
		}
		err := issueVerdicts(t.Context(), packets, newPacer(rate), sleep, func(id uint32) error {
			earliest := time.Duration(id+1) * time.Second / rate
			if took := time.Since(began); took < earliest {
				t.Errorf("packet %d has its verdict after %v; want it after %v", id, took, earliest)
			}
			order = append(order, id)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range order {
			if id != uint32(i) {
				t.Fatalf("packet %d is the %d. to have its verdict", id, i)
			}
		}
		if took := time.Since(began); len(order) != burst || took != burst*time.Second/rate {
			t.Errorf("%d packets took %v; want %d in %v", len(order), took, burst,
				burst*time.Second/rate)
		}
	})
}

// A slow server ends at once, with packets in its queue.
func TestJudgeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		packets := make(chan packet, 1)
		packets <- packet{1, time.Now()}
		began := time.Now()
		err := issueVerdicts(ctx, packets, &pacer{each: time.Hour}, time.Sleep, func(uint32) error {
			t.Error("a packet has its verdict too early")
			return nil
		})
		if took := time.Since(began); err != nil || took > time.Second+maxSleep {
			t.Errorf("it ended with %v after %v", err, took)
		}
	})
}
