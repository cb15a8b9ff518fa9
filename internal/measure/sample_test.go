// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"testing"
	"time"
)

func TestStartOf(t *testing.T) {
	tests := []struct {
		name  string
		event Event
		want  Start
	}{
		{
			name:  "the writer's own stamp is best",
			event: Event{Arrived: at(30), Created: at(0), TriggeredAt: at(10)},
			want:  Start{Source: StartAnnotation, At: at(10)},
		},
		{
			name:  "else the arrival of the event",
			event: Event{Arrived: at(30), Created: at(0)},
			want:  Start{Source: StartWatch, At: at(30)},
		},
		{
			name:  "else the time since the last read without it",
			event: Event{Absent: at(26), Arrived: at(30), Created: at(0)},
			want:  Start{Source: StartRead, At: at(26), Uncertainty: 4 * time.Millisecond},
		},
		{
			name:  "a stamp that the reads agree with is best",
			event: Event{Absent: at(26), Arrived: at(30), Created: at(0), TriggeredAt: at(28)},
			want:  Start{Source: StartAnnotation, At: at(28)},
		},
		{
			name:  "one before the last read without it is of a wrong clock",
			event: Event{Absent: at(26), Arrived: at(30), Created: at(0), TriggeredAt: at(10)},
			want:  Start{Source: StartRead, At: at(26), Uncertainty: 4 * time.Millisecond},
		},
		{
			name:  "an object that was there before us has only its creationTimestamp",
			event: Event{Arrived: at(30), Created: at(0), Initial: true},
			want:  Start{Source: StartCreation, At: at(0), Uncertainty: time.Second},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := StartOf(test.event); got != test.want {
				t.Errorf("StartOf() = %+v; want %+v", got, test.want)
			}
		})
	}
}

func TestLatency(t *testing.T) {
	tests := []struct {
		name     string
		sample   Sample
		want     Latency
		estimate time.Duration
	}{
		{
			name:     "both ends count from the start, the estimate is the middle",
			sample:   Sample{Start: Start{At: at(100)}, Bracket: Bracket{at(300), at(310)}},
			want:     Latency{200 * time.Millisecond, 210 * time.Millisecond},
			estimate: 205 * time.Millisecond,
		},
		{
			name:     "without a lower end the transition came at some time after the start",
			sample:   Sample{Start: Start{At: at(100)}, Bracket: Bracket{Upper: at(104)}},
			want:     Latency{0, 4 * time.Millisecond},
			estimate: 2 * time.Millisecond,
		},
		{
			name:     "enforcement may beat its own notification",
			sample:   Sample{Start: Start{At: at(100)}, Bracket: Bracket{at(80), at(90)}},
			want:     Latency{-20 * time.Millisecond, -10 * time.Millisecond},
			estimate: -15 * time.Millisecond,
		},
		{
			name: "an uncertain start widens the interval",
			sample: Sample{
				Start:   Start{At: at(0), Uncertainty: time.Second},
				Bracket: Bracket{at(1500), at(1510)},
			},
			want:     Latency{500 * time.Millisecond, 1510 * time.Millisecond},
			estimate: 1005 * time.Millisecond,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := test.sample.Latency()
			if got != test.want || got.Estimate() != test.estimate {
				t.Errorf("Latency() = %v, estimate %v; want %v, %v",
					got, got.Estimate(), test.want, test.estimate)
			}
		})
	}
}

// TestSampleChanges changes samples in the two ways that keep what belongs together.
func TestSampleChanges(t *testing.T) {
	measured := Sample{
		Status: Measured, Bracket: Bracket{at(10), at(12)}, Answered: at(12), Ended: at(300),
	}
	blocked := measured
	blocked.Kind = KindBlocked
	tests := []struct {
		name    string
		sample  Sample
		status  Status
		cause   Cause
		bracket Bracket
	}{
		{"a start before the change", measured.WithStart(Start{At: at(0)}, 0),
			Measured, CauseUnknown, measured.Bracket},
		{"a start within the bracket", measured.WithStart(Start{At: at(11)}, 0),
			Measured, CauseUnknown, measured.Bracket},
		{"a start after the change", measured.WithStart(Start{At: at(13)}, 0),
			Invalid, ChangedEarly, Bracket{}},
		{"notification of the start that came after the change",
			measured.WithStart(Start{At: at(13)}, time.Second),
			Measured, CauseUnknown, measured.Bracket},
		{"a leak before the trigger", blocked.WithStart(Start{At: at(13)}, 0),
			Measured, CauseUnknown, measured.Bracket},
		{"a pair that was not proved", measured.Invalidate(NeverSeen(StateAllowed)),
			Invalid, NeverAllowed, Bracket{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := test.sample
			if got.Status != test.status || got.Cause != test.cause || got.Bracket != test.bracket {
				t.Errorf("%s, %q, %v; want %s, %q, %v", got.Status, got.Cause, got.Bracket,
					test.status, test.cause, test.bracket)
			}
			if got.Reason != test.cause.Text() || (got.Status == Invalid) != got.Answered.IsZero() {
				t.Errorf("the reason is %q, answered %s", got.Reason, got.Answered)
			}
		})
	}
}

// TestCauses reads every cause back from its name.
func TestCauses(t *testing.T) {
	for cause := CauseUnknown + 1; int(cause) < len(causes); cause++ {
		if ParseCause(cause.String()) != cause || cause.String() == "" || cause.Text() == "" {
			t.Errorf("cause %d is named %q, and says %q", cause, cause, cause.Text())
		}
	}
	if got := ParseCause("odd"); got != CauseUnknown {
		t.Errorf("an odd name is %q", got)
	}
}
