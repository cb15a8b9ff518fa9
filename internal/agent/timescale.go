// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// smallestStep is the shortest step of the wall clock that is noticed. NTP lets both clocks drift
// alike, so that they never differ by as much otherwise.
const smallestStep = 5 * time.Millisecond

// stepWarning qualifies what was measured while the wall clock was set.
const stepWarning = "the wall clock was set while this was measured: no latency on the agent's " +
	"own clock has changed, but the runner's and the API server's stamps may be off"

// SkewVariable is the environment variable that has an agent's [Skew], as JSON.
const SkewVariable = "NETPOL_LATENCY_SKEW"

// Skew is what is wrong with an agent's clock. It is for tests alone: the agents of one machine
// share its clock, those of a cluster have each their own.
type Skew struct {
	// Since is when the clock was ahead by Offset. It has drifted by so many millionths of the time
	// since then, and the wall clock was set ahead by Step after each Every.
	Since  time.Time
	Offset time.Duration
	Drift  float64
	Step   time.Duration
	Every  time.Duration
}

// at is what the clock shows at an instant, but for the steps.
func (s Skew) at(t time.Time) time.Time {
	if s.Since.IsZero() {
		return t
	}
	drift := float64(t.Round(0).Sub(s.Since)) * s.Drift / 1e6
	return t.Add(s.Offset + time.Duration(drift))
}

// wall is what the wall clock shows at an instant.
func (s Skew) wall(t time.Time) time.Time {
	t = t.Round(0)
	if s.Every == 0 {
		return s.at(t)
	}
	return s.at(t).Add(s.Step * (t.Sub(s.Since) / s.Every))
}

// timescale is what all instants that a process tells are on: that of its probes, which counts from
// an epoch by the monotonic clock. A step of the wall clock changes nothing on it, and is noticed.
// It belongs to one goroutine.
type timescale struct {
	epoch time.Time
	skew  Skew
	wall  func(time.Time) time.Time // the wall clock's part of a reading
	ahead time.Duration             // by how much the wall clock is ahead of the scale
	steps int
}

func newTimescale(epoch time.Time, skew Skew) *timescale {
	s := &timescale{epoch: epoch, skew: skew, wall: skew.wall}
	s.ahead = s.difference()
	return s
}

// at is an instant on the scale. One that another clock has told, without a monotonic reading,
// stays what it is.
func (s *timescale) at(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return s.skew.at(s.epoch.Add(t.Sub(s.epoch)))
}

// difference is by how much the wall clock is ahead of the scale now.
func (s *timescale) difference() time.Duration {
	now := time.Now()
	return s.wall(now).Sub(s.at(now).Round(0))
}

// checkSteps notices whether the wall clock has been set. A process that stood still between the
// readings of both clocks would see a step as well, but not twice.
func (s *timescale) checkSteps() {
	if (s.difference() - s.ahead).Abs() < smallestStep {
		return
	}
	if ahead := s.difference(); (ahead - s.ahead).Abs() >= smallestStep {
		s.ahead = ahead
		s.steps++
	}
}

// sample is a sample with its own instants on the scale, of a pair that began when the wall clock
// had been set so often.
func (s *timescale) sample(sample measure.Sample, stepsBefore int) measure.Sample {
	bracket := func(b *measure.Bracket) { b.Lower, b.Upper = s.at(b.Lower), s.at(b.Upper) }
	bracket(&sample.Bracket)
	for i := range sample.Flaps {
		bracket(&sample.Flaps[i].Bracket)
	}
	for _, list := range [][]measure.Episode{
		sample.Watched.Breaches.List, sample.Watched.Unknown.List,
	} {
		for i := range list {
			bracket(&list[i].Began)
			bracket(&list[i].Ended)
		}
	}
	for _, instant := range []*time.Time{
		&sample.Watched.From, &sample.Watched.To, &sample.Start.At, &sample.Answered, &sample.Ended,
		&sample.Assigned,
	} {
		*instant = s.at(*instant)
	}

	if s.checkSteps(); s.steps != stepsBefore {
		sample.Warnings = append(sample.Warnings, stepWarning)
	}
	return sample
}
