// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// follower notes launches and is done with the verdict that it waits for.
type follower struct {
	launched []time.Time
	until    measure.Verdict
	most     int // most probes under way at once
	under    int
}

func (f *follower) Launched(at, _ time.Time) {
	f.launched = append(f.launched, at)
	f.under++
	f.most = max(f.most, f.under)
}

func (f *follower) Ended(_ time.Time, outcome measure.Outcome) bool {
	f.under--
	return outcome.Verdict == f.until
}

// opening drops everything for the while and answers at once after it.
func opening(after, timeout time.Duration) Attempt {
	open := time.Now().Add(after)
	return func(ctx context.Context, _ netip.AddrPort) measure.Outcome {
		outcome := measure.Outcome{Sent: time.Now(), Verdict: measure.Allowed}
		if outcome.Sent.Before(open) {
			outcome.Verdict = measure.Dropped
			select {
			case <-time.After(timeout):
			case <-ctx.Done():
				outcome.Verdict = measure.Ambiguous
			}
		}
		outcome.Done = time.Now()
		return outcome
	}
}

// Dropped probes do not hold up later ones: with a time-out of half a second the opening is still
// seen within an interval.
func TestFollowIsNotBlinded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout, after = 500 * time.Millisecond, 1234 * time.Millisecond
		prober, err := New(opening(after, timeout), Schedule{DefaultInterval, DefaultMaxRate}, timeout)
		if err != nil {
			t.Fatal(err)
		}
		f := &follower{until: measure.Allowed}
		began := time.Now()
		if err := prober.Follow(t.Context(), netip.AddrPort{}, f); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(began) - after; late < 0 || late > DefaultInterval {
			t.Errorf("the opening was seen %s late; want at most %s", late, DefaultInterval)
		}
		for i := 2; i < len(f.launched); i++ { // the second is at a random phase
			if gap := f.launched[i].Sub(f.launched[i-1]); gap != DefaultInterval {
				t.Fatalf("probe %d came %s after the one before; want %s", i, gap, DefaultInterval)
			}
		}
	})
}

// A server that opens connections and never answers holds only so many.
func TestFollowBoundsProbesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ netip.AddrPort) measure.Outcome {
			<-ctx.Done()
			return measure.Outcome{Verdict: measure.Ambiguous}
		}
		prober, err := New(hang, Schedule{DefaultInterval, DefaultMaxRate}, DefaultTimeout)
		if err != nil {
			t.Fatal(err)
		}
		f := &follower{until: measure.Allowed}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := prober.Follow(ctx, netip.AddrPort{}, f); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Follow() = %v; want %v", err, context.DeadlineExceeded)
		}
		if most := int(DefaultTimeout/DefaultInterval) + 16; f.most > most {
			t.Errorf("%d probes were under way at once; want at most %d", f.most, most)
		}
	})
}

func TestSchedule(t *testing.T) {
	schedule := Schedule{Interval: 10 * time.Millisecond, MaxRate: 5000}
	tests := []struct {
		name  string
		pairs int
		want  time.Duration
	}{
		{"one pair is probed at the interval", 1, 10 * time.Millisecond},
		{"as many as the budget carries too", 50, 10 * time.Millisecond},
		{"more stretch the interval to keep to the budget", 200, 40 * time.Millisecond},
		{"and very many do so in proportion", 10_000, 2 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := schedule.Between(test.pairs); got != test.want {
				t.Errorf("Between(%d) = %s; want %s", test.pairs, got, test.want)
			}
		})
	}
}

func TestNextDoesNotCatchUp(t *testing.T) {
	epoch := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if got := next(epoch, epoch.Add(2*time.Millisecond), 10*time.Millisecond); !got.Equal(epoch.Add(10 * time.Millisecond)) {
		t.Errorf("after a punctual probe the next is due at %v", got)
	}
	late := epoch.Add(75 * time.Millisecond)
	if got := next(epoch, late, 10*time.Millisecond); !got.Equal(late) {
		t.Errorf("after seven missed probes the next is due at %v; want at once, and one only", got)
	}
}
