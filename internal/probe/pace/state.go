// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package pace finds how many probes a second the path to the targets bears, by the round trips and
// losses of those that were sent: whoever filters them may do so more slowly than they can be sent,
// and must not be what is measured.
package pace

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// State is what is known of the path of the probes.
type State struct {
	// Rate is the most probes a second that it sends, for all pairs together.
	Rate float64
	// RoundTrip is how long the newest replies took, their median; zero without any.
	RoundTrip time.Duration
	// Found says that the rate is not being searched for.
	Found bool
	// Limit is why the rate is lower than the schedule's, zero if it is not.
	Limit Limit
}

// Limit is what was seen at a rate that was too high.
type Limit struct {
	Cause Cause
	At    float64 // probes a second
	// Least and Worst are round trips that rose, from the one to the other.
	Least, Worst time.Duration
	// Lost is how many of so many probes were lost.
	Lost, Of int
	// Entries is how many entries of connection tracking there may be.
	Entries int
}

// Cause is why a rate is limited.
type Cause uint8

// The causes, a closed enumeration.
const (
	// Unlimited: the rate is what the schedule permits, or as much as there are pairs for.
	Unlimited Cause = iota
	// RoundTripsRose: at a higher rate probes wait on the path.
	RoundTripsRose
	// ProbesLost: at a higher rate probes are lost that policy allows.
	ProbesLost
	// NothingAnswered: no reply tells what the path bears.
	NothingAnswered
	// TableFull: the probes hold as many entries of connection tracking as they may.
	TableFull
)

// Warning says what limits the rate, empty if nothing does.
func (s State) Warning() string {
	switch l := s.Limit; l.Cause {
	case RoundTripsRose:
		return fmt.Sprintf("the path: round trips rose from %s to %s at %s probes a second; "+
			"probing at %s", measure.FormatDuration(l.Least), measure.FormatDuration(l.Worst),
			formatRate(l.At), formatRate(s.Rate))
	case ProbesLost:
		return fmt.Sprintf("the path: %d of %d probes were lost at %s probes a second; "+
			"probing at %s", l.Lost, l.Of, formatRate(l.At), formatRate(s.Rate))
	case NothingAnswered:
		return fmt.Sprintf("the path: nothing answers that tells how many probes it bears; "+
			"probing at %s a second", formatRate(s.Rate))
	case TableFull: // the rate, which changes all the time, would make a warning of each pair's own
		return fmt.Sprintf("connection tracking: %d entries of a node's table are all that "+
			"probes may hold: they leave less often than planned", l.Entries)
	default:
		return ""
	}
}

// formatRate writes a rate with two digits that count, for example 2,100.
func formatRate(rate float64) string {
	unit := math.Pow10(max(0, int(math.Log10(max(rate, 1)))-1))
	text := strconv.Itoa(int(math.Round(rate/unit) * unit))
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
