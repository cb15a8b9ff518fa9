// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"
	"unsafe"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// setAhead is what [time.Now] returns once the wall clock was set ahead: of its two readings only
// that one has changed.
func setAhead(now time.Time, seconds uint64) time.Time {
	type readings struct {
		wall uint64 // seconds, above 30 bits of nanoseconds
		ext  int64  // the monotonic clock
		loc  *time.Location
	}
	(*readings)(unsafe.Pointer(&now)).wall += seconds << 30
	return now
}

// TestTimescale sets the wall clock an hour ahead: every instant of a sample stays on the scale of
// the probes, and the latency what it was. What another clock has told is left alone.
func TestTimescale(t *testing.T) {
	const hour = 3600
	scale := newTimescale(time.Now().Add(-time.Minute), Skew{})
	start := time.Now()
	changed, created := start.Add(300*time.Millisecond), start.Round(time.Second).UTC()

	set := setAhead(start, hour)
	if moved := set.Round(0).Sub(start.Round(0)); moved != time.Hour || set.Sub(start) != 0 {
		t.Fatalf("the wall clock was set by %s, and the monotonic one by %s", moved, set.Sub(start))
	}
	scale.wall = func(now time.Time) time.Time { return setAhead(now, hour).Round(0) }
	sample := scale.sample(measure.Sample{
		Status: measure.Measured, Created: created, Assigned: set,
		Start:   measure.Start{Source: measure.StartWatch, At: set},
		Bracket: measure.Bracket{Lower: changed, Upper: changed.Add(time.Millisecond)},
		Ended:   setAhead(changed.Add(time.Second), hour),
	}, 0)

	// As it is written and read again: without the monotonic readings.
	took := sample.Bracket.Lower.Round(0).Sub(sample.Start.At.Round(0))
	if took != 300*time.Millisecond {
		t.Errorf("the latency is %s; want 300ms", took)
	}
	// The two readings of an instant are taken one after the other.
	const moment = 100 * time.Millisecond
	late := sample.Ended.Round(0).Sub(changed.Round(0))
	if (late - time.Second).Abs() > moment {
		t.Errorf("it ended %s after its change; want 1s", late)
	}
	if sample.Assigned.Round(0).Sub(start.Round(0)).Abs() > moment ||
		!sample.Created.Equal(created) {
		t.Errorf("assigned %v, created %v; want %v, %v", sample.Assigned, sample.Created, start,
			created)
	}
	if len(sample.Warnings) != 1 || sample.Warnings[0] != stepWarning {
		t.Errorf("warnings %q; want that of the wall clock", sample.Warnings)
	}
	if later := scale.sample(measure.Sample{}, scale.steps); len(later.Warnings) > 0 {
		t.Errorf("a pair that began after that has the warnings %q", later.Warnings)
	}
}

// TestSkew has a clock that is ahead, drifts and is set: what is on the scale has the first two,
// and the wall clock all three. No skew is none.
func TestSkew(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := since.Add(100 * time.Second)
	skew := Skew{Since: since, Offset: time.Hour, Drift: 100, Step: 2 * time.Second,
		Every: 40 * time.Second}
	const drifted = 10 * time.Millisecond
	if got := skew.at(now).Sub(now); got != time.Hour+drifted {
		t.Errorf("the clock is ahead by %s; want an hour and %s", got, drifted)
	}
	if got := skew.wall(now).Sub(now); got != time.Hour+drifted+2*skew.Step {
		t.Errorf("the wall clock is ahead by %s; want an hour, %s and two steps", got, drifted)
	}
	if none := (Skew{}); !none.at(now).Equal(now) || !none.wall(now).Equal(now) {
		t.Errorf("without skew the clocks show %s and %s; want %s", none.at(now), none.wall(now),
			now)
	}
}
