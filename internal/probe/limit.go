// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Pace is what an engine knows of the path of its probes.
type Pace struct {
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
	Cause LimitCause
	At    float64 // probes a second
	// Least and Worst are round trips that rose, from the one to the other.
	Least, Worst time.Duration
	// Lost is how many of so many probes were lost.
	Lost, Of int
}

// LimitCause is why a rate is limited.
type LimitCause uint8

// The causes, a closed enumeration.
const (
	// Unlimited: the rate is what the schedule permits, or as much as there are pairs for.
	Unlimited LimitCause = iota
	// RoundTripsRose: at a higher rate probes wait on the path.
	RoundTripsRose
	// ProbesLost: at a higher rate probes are lost that policy allows.
	ProbesLost
	// NothingAnswered: no reply tells what the path bears.
	NothingAnswered
)

// Warning says what limits the rate, empty if nothing does.
func (p Pace) Warning() string {
	switch l := p.Limit; l.Cause {
	case RoundTripsRose:
		return fmt.Sprintf("the path: round trips rose from %s to %s at %s probes a second; "+
			"probing at %s", measure.FormatDuration(l.Least), measure.FormatDuration(l.Worst),
			formatRate(l.At), formatRate(p.Rate))
	case ProbesLost:
		return fmt.Sprintf("the path: %d of %d probes were lost at %s probes a second; "+
			"probing at %s", l.Lost, l.Of, formatRate(l.At), formatRate(p.Rate))
	case NothingAnswered:
		return fmt.Sprintf("the path: nothing answers that tells how many probes it bears; "+
			"probing at %s a second", formatRate(p.Rate))
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
