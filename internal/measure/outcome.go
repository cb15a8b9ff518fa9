// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"time"
)

// Verdict is what became of one probe.
type Verdict uint8

// The verdicts, a closed enumeration.
const (
	// Ambiguous: the probe proves nothing, for example because no socket could be made.
	Ambiguous Verdict = iota
	// Allowed: a reply of the kind asked for arrived.
	Allowed
	// Dropped: no reply in time.
	Dropped
	// Refused: a TCP reset. The port is closed, or a policy resets: the two look alike.
	Refused
	// Rejected: an ICMP message of a filter, or the local kernel forbade the packet.
	Rejected
	// Unreachable: no route, or an ICMP message that the network or host cannot be reached.
	Unreachable
	// Unanswered: the connection opened, so the network allows it, but the response asked for
	// did not come.
	Unanswered

	// VerdictCount is the number of verdicts.
	VerdictCount = iota
)

// Verdicts lists every verdict, in order.
func Verdicts() []Verdict {
	all := make([]Verdict, VerdictCount)
	for i := range all {
		all[i] = Verdict(i)
	}
	return all
}

// String is the verdict's name in messages, metrics and records.
func (v Verdict) String() string {
	names := [VerdictCount]string{
		"ambiguous", "allowed", "dropped", "refused", "rejected", "unreachable", "unanswered",
	}
	if int(v) >= len(names) {
		return fmt.Sprintf("verdict(%d)", uint8(v))
	}
	return names[v]
}

// Blocked reports whether the verdict shows that the target could not be reached.
func (v Verdict) Blocked() bool { return v != Allowed && v != Ambiguous }

// Outcome is one probe and what became of it.
type Outcome struct {
	Verdict Verdict
	// Planned is when the schedule wanted the probe to leave.
	Planned time.Time
	// Interval is the time that the schedule leaves between two probes of the pair.
	Interval time.Duration
	// Sent is read just before the probe's first packet can leave.
	Sent time.Time
	// SentBy is read after that packet has left.
	SentBy time.Time
	// Opened is when a connection was open on which a response was asked for, zero otherwise: the
	// network allowed the pair by then, however long the response took.
	Opened time.Time
	// Done is when the verdict was known: for Allowed the arrival of the reply.
	Done time.Time
	// Deferred says that the probe left later than the schedule wanted, because too few source
	// ports had rested since they were last used for its target.
	Deferred bool
	// Overloaded says that the probe got no answer while there were more probes under way than the
	// path bears: it is Ambiguous.
	Overloaded bool
	// Way is how long the path took, there and back, for others that were sent when a probe was
	// that was Dropped; zero if that is not known.
	Way time.Duration
	// Response is the status of an HTTP response (RFC 9110, section 15), 0 without one.
	Response int
	// Err explains a verdict other than Allowed.
	Err error
}
