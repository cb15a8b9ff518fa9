// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "fmt"

// Severity is how much a finding wants attention.
type Severity uint8

// The severities, a closed enumeration in ascending order.
const (
	// SeverityInfo: a fact that is neither good nor bad.
	SeverityInfo Severity = iota
	// SeverityOK: what was looked at is as it has to be.
	SeverityOK
	// SeverityWarning: something says nothing, or less than it seems to.
	SeverityWarning
	// SeverityCritical: policy or a threshold failed.
	SeverityCritical
)

// String is the severity's name in reports.
func (s Severity) String() string {
	return [...]string{"info", "ok", "warning", "critical"}[min(int(s), 3)]
}

// Topic says what a finding is about. Its value is the name in reports.
type Topic string

// The topics.
const (
	// TopicNothing: there are no samples.
	TopicNothing Topic = "nothing-measured"
	// TopicIncomplete: the run did not come to its end.
	TopicIncomplete Topic = "incomplete"
	// TopicNotEnforced: policy had no effect on any pair of a result, nor anywhere else in the run.
	TopicNotEnforced Topic = "not-enforced"
	// TopicPolicyNotEnforced: policy had no effect on any pair of a result, but on others.
	TopicPolicyNotEnforced Topic = "policy-not-enforced"
	// TopicUnreachable: no pair of a result was ever answered, although policy allowed it.
	TopicUnreachable Topic = "unreachable"
	// TopicEnforced: new connections that had to change.
	TopicEnforced Topic = "enforced"
	// TopicConnections: open connections that policy began to forbid.
	TopicConnections Topic = "connections"
	// TopicLeaks: replies on pairs that must stay blocked.
	TopicLeaks Topic = "leaks"
	// TopicHoles: times in which pairs were allowed that had to stay blocked through a disruption.
	TopicHoles Topic = "holes"
	// TopicOutages: times in which pairs were not allowed that had to stay so through one.
	TopicOutages Topic = "outages"
	// TopicUnknown: pairs that were not watched for a time.
	TopicUnknown Topic = "unknown"
	// TopicFlaps: changes back and forth, of pairs that had to change.
	TopicFlaps Topic = "flaps"
	// TopicInvalid: pairs whose old state was not seen.
	TopicInvalid Topic = "invalid"
	// TopicDeleted: pairs whose target went away.
	TopicDeleted Topic = "deleted"
	// TopicUnobserved: pairs that nobody watched.
	TopicUnobserved Topic = "unobserved"
	// TopicVerdict: what the pairs of a scenario do once nothing changes any more.
	TopicVerdict Topic = "verdict"
	// TopicThreshold: how one threshold stands for one result.
	TopicThreshold Topic = "threshold"
)

// Finding is one thing that samples show, about all of a run or about one result.
type Finding struct {
	Topic    Topic
	Severity Severity
	// Scenario and Setting name the result; empty if it is about the run.
	Scenario, Setting string
	// Count is how many there are, of Of if that is not zero. Both are zero where nothing is
	// counted.
	Count, Of int
	// Text says what that means, as the rest of a sentence that begins with the Value.
	Text string
}

// Value is what was counted, for example "3 of 20", empty where nothing is.
func (f Finding) Value() string {
	switch f.Topic {
	case TopicNothing, TopicIncomplete, TopicNotEnforced, TopicPolicyNotEnforced, TopicUnreachable,
		TopicThreshold:
		return ""
	}
	if f.Of > 0 {
		return fmt.Sprintf("%d of %d", f.Count, f.Of)
	}
	return fmt.Sprint(f.Count)
}

// String is the finding as a sentence.
func (f Finding) String() string {
	if value := f.Value(); value != "" {
		return value + " " + f.Text
	}
	return f.Text
}

// fails reports whether its result does not pass for it. That open connections live on is a fact
// about the network, and yet not what was waited for.
func (f Finding) fails() bool {
	return f.Severity >= SeverityWarning || f.Topic == TopicConnections && f.Count < f.Of
}

// FindTopic is the first of the findings about a topic, if there is one.
func FindTopic(findings []Finding, topic Topic) (finding Finding, ok bool) {
	for _, one := range findings {
		if one.Topic == topic {
			return one, true
		}
	}
	return Finding{}, false
}

// ResultName names a result in messages and reports: the scenario, and its setting if it has one.
func ResultName(scenario, setting string) string {
	if setting == "" {
		return scenario
	}
	return scenario + " (" + setting + ")"
}

// Plural counts things, for example "1 pair" or "3 pairs".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
