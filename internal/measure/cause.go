// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

// Cause is why a sample is invalid: what was seen of the pair says nothing about the trigger.
type Cause uint8

// The causes, a closed enumeration.
const (
	// CauseUnknown: the sample is valid, or a record of schema 1, which has the text alone.
	CauseUnknown Cause = iota
	// NeverBlocked and NeverAllowed: the old state was not seen before the trigger.
	NeverBlocked
	NeverAllowed
	// NeverDenied: the target of a drop-in client was reached by the first probe.
	NeverDenied
	// ReachedWithoutPolicy: the target of a drop-in client was reached, and there was no policy.
	ReachedWithoutPolicy
	// ProbedLate: the first probe was sent after the trigger.
	ProbedLate
	// ChangedEarly: the new state was there before the trigger.
	ChangedEarly
	// ClockUnknown: the trigger cannot be placed on the clock of the probes.
	ClockUnknown
)

// causes are the name of each cause in records, and its text.
var causes = [...]struct{ name, text string }{
	CauseUnknown: {"", ""},
	NeverBlocked: {"never-blocked", "precondition: it was never seen blocked before the trigger"},
	NeverAllowed: {"never-allowed", "precondition: it was never seen allowed before the trigger"},
	NeverDenied: {"never-denied", "precondition: the target was never seen denied: " +
		"it could be reached from the first probe on"},
	ReachedWithoutPolicy: {"reached-without-policy", "precondition: the target could be reached " +
		"although the policy that allows it did not exist"},
	ProbedLate:   {"probed-late", "precondition: the agent began to probe after the trigger"},
	ChangedEarly: {"changed-early", "precondition: it changed before the trigger"},
	ClockUnknown: {"clock-unknown", "compare the clocks: the agent has answered no ping"},
}

// NeverSeen is the cause of a pair whose old state was not seen.
func NeverSeen(old State) Cause {
	if old == StateAllowed {
		return NeverAllowed
	}
	return NeverBlocked
}

// ParseCause is the cause of a name in a record, unknown for any other.
func ParseCause(name string) Cause {
	for i, one := range causes {
		if one.name == name {
			return Cause(i)
		}
	}
	return CauseUnknown
}

// String is the cause's name in records, empty if it is unknown.
func (c Cause) String() string { return causes[min(int(c), len(causes)-1)].name }

// Text is the cause in a sentence.
func (c Cause) Text() string { return causes[min(int(c), len(causes)-1)].text }
