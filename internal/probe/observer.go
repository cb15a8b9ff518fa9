// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Observer is told about the probes of one pair, by one goroutine at a time, which must not wait.
type Observer interface {
	// OnOutcome is called with the outcomes in the order of their sends. It returns true when the
	// pair needs no more probes.
	OnOutcome(outcome measure.Outcome) (done bool)
	// OnOverdue is called when that many probes in a row, all sent after the newest reply had
	// arrived, have no reply although it is overdue by the pair's own round trips
	// ([measure.RoundTrips]), or have failed already; and with 0 when a reply has come after all.
	// It is a hint that comes long before the outcomes, which alone are proof, and at the latest
	// one interval of the pair after the reply is overdue. A pair that was never answered has no
	// hints.
	OnOverdue(probes int, at time.Time)
	// OnStopped is called once, after the last outcome: none of the pair's probes is in flight.
	OnStopped()
}

// Presumer is an Observer that is also told, long before the outcomes, what is likely to become of
// the probes. A probe of a pair that was never answered has no reply that could be overdue, and is
// presumed to be what it has become.
type Presumer interface {
	Observer
	// OnPresumed is called with every probe, in the order of their sends, once it has ended and
	// once its reply is overdue: as Dropped then.
	OnPresumed(outcome measure.Outcome)
	// OnRefuted is called with a probe that was presumed Dropped when its reply has come after all.
	OnRefuted(outcome measure.Outcome)
}
