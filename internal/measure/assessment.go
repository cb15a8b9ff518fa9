// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RunOutcome is how a run that could be carried out ends: the reason of its exit code.
type RunOutcome uint8

// The outcomes of a run, a closed enumeration. Of several that apply, the first counts that is not
// Passed.
const (
	// Passed: everything changed in time, or nobody asked for it, and every threshold passed.
	Passed RunOutcome = iota
	// NotObserved: some pair was not watched, so the run was carried out in part only.
	NotObserved
	// NotProved: some result is invalid, or policy had no effect at all.
	NotProved
	// NotInTime: some pair did not change in time.
	NotInTime
	// WrongVerdict: some pair is not as policy wants it to be, for good.
	WrongVerdict
	// ThresholdFailed: a threshold failed.
	ThresholdFailed
)

// String is the outcome's name in reports.
func (o RunOutcome) String() string {
	return [...]string{"passed", "unobserved", "invalid", "censored", "wrong-verdict",
		"threshold"}[min(int(o), 5)]
}

// Assessment is what the samples of a run show, and how the run ends for that.
type Assessment struct {
	Outcome RunOutcome
	// Reason says why the run has not passed, empty if it has.
	Reason string
	// Findings are about the run, and those about single results that decide about it. Thresholds
	// come last.
	Findings []Finding
	// Results are by setting and name.
	Results []Result
	// Thresholds are how each threshold stands for each result that it is about.
	Thresholds []Evaluation
	// Warnings qualify the run as a whole.
	Warnings []string
}

// Result is what was measured of one scenario, or of a part of it, in one setting.
type Result struct {
	Summary Summary
	Samples []Sample
	// Findings are about this result.
	Findings []Finding
}

// Severity is the greatest of the findings. What has warnings says less than it seems to.
func (a Assessment) Severity() Severity {
	greatest := worst(a.Findings)
	if len(a.Warnings) > 0 || slices.ContainsFunc(a.Results, func(r Result) bool {
		return len(r.Summary.Warnings) > 0
	}) {
		greatest = max(greatest, SeverityWarning)
	}
	return greatest
}

// Severity is the greatest of the findings.
func (r Result) Severity() Severity { return worst(r.Findings) }

// Failure is the worst of the findings that fail the result for who asks no more of it than to
// pass; ok is false if none does. Of equals the one that pairs were not observed counts before the
// others: what they say is of a part.
func (r Result) Failure() (finding Finding, ok bool) {
	failing := slices.DeleteFunc(slices.Clone(r.Findings),
		func(one Finding) bool { return !one.fails() })
	if len(failing) == 0 {
		return Finding{}, false
	}
	rank := func(one Finding) int {
		if one.Topic == TopicUnobserved {
			return 1
		}
		return 0
	}
	return slices.MaxFunc(failing, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(rank(a), rank(b)))
	}), true
}

func worst(findings []Finding) Severity {
	greatest := SeverityOK
	for _, one := range findings {
		greatest = max(greatest, one.Severity)
	}
	return greatest
}

// Assess says what samples show, and how the run that they are of ends.
func Assess(samples []Sample, thresholds []Threshold) Assessment {
	var a Assessment
	for _, group := range groupByResult(samples) {
		first := group[0]
		a.Results = append(a.Results, Result{Summary: Summarize(first.Scenario, group),
			Samples: group})
	}

	enforced := slices.ContainsFunc(samples, Sample.showsPolicy)
	for i := range a.Results {
		one := &a.Results[i]
		one.Findings = append(one.refutations(a.Results, enforced),
			count(one.Samples).findings()...)
		for j := range one.Findings {
			one.Findings[j].Scenario, one.Findings[j].Setting = one.Summary.Scenario,
				one.Summary.Setting
		}
		for _, finding := range one.Findings {
			if finding.refutes() {
				a.Findings = append(a.Findings, finding)
			}
		}
	}
	a.Findings = append(a.Findings, count(samples).findings()...)
	a.Thresholds = EvaluateAll(thresholds, a.Summaries())
	for _, one := range a.Thresholds {
		a.Findings = append(a.Findings, one.finding())
	}
	a.Outcome, a.Reason = a.conclude(samples)
	return a
}

// Incomplete is the assessment of a run that did not come to its end, for a reason. What it would
// have shown nobody has observed, so that it has not passed, whatever the rest shows.
func (a Assessment) Incomplete(reason string) Assessment {
	a.Findings = append([]Finding{
		{Topic: TopicIncomplete, Severity: SeverityWarning, Text: reason},
	}, a.Findings...)
	a.Outcome, a.Reason = NotObserved, reason
	return a
}

// Summaries are those of the results.
func (a Assessment) Summaries() []Summary {
	all := make([]Summary, 0, len(a.Results))
	for _, one := range a.Results {
		all = append(all, one.Summary)
	}
	return all
}

// Slowest is the new connection that took longest to change, or was watched longest in vain.
type Slowest struct {
	Sample   Sample
	Took     time.Duration
	Censored Censoring
}

// Severity is how much the pair wants attention: it is a fact, unless the pair did not change.
func (s Slowest) Severity() Severity {
	if s.Censored == RightCensored {
		return SeverityCritical
	}
	return SeverityInfo
}

// Slowest is the slowest pair, if the time of any is known. Open connections may live on.
func (a Assessment) Slowest() (slowest Slowest, ok bool) {
	for _, result := range a.Results {
		for _, s := range result.Samples {
			took, censored, known := s.Took()
			if s.Kind == KindNew && known && (!ok || took > slowest.Took) {
				slowest, ok = Slowest{s, took, censored}, true
			}
		}
	}
	return slowest, ok
}

// conclude decides how the run ends. A run that was carried out in part is to be repeated, whatever
// the rest of it shows. What was not proved counts before what was too slow: a state that nobody
// has seen makes every latency, and every threshold, meaningless.
func (a Assessment) conclude(samples []Sample) (RunOutcome, string) {
	reason := func(status Status) string {
		found := withStatus(samples, status)
		if len(found) == 0 {
			return ""
		}
		text := fmt.Sprintf("%d of %d pairs", len(found), len(samples))
		if first := found[0].Reason; first != "" && status != Censored {
			text += " (" + first + ")"
		}
		return text
	}
	unobserved, invalid, censored := reason(Unobserved), reason(Invalid), reason(Censored)
	refuted := slices.IndexFunc(a.Findings, Finding.refutes)
	failed := len(Failed(a.Thresholds))

	switch {
	case unobserved != "":
		return NotObserved, unobserved
	case refuted >= 0:
		return NotProved, a.Findings[refuted].Text
	case invalid != "":
		return NotProved, invalid
	case censored != "":
		return NotInTime, censored
	case failed > 0:
		return ThresholdFailed, fmt.Sprintf("%d of %d", failed, len(a.Thresholds))
	}
	return Passed, ""
}

func withStatus(samples []Sample, status Status) []Sample {
	return slices.DeleteFunc(slices.Clone(samples),
		func(s Sample) bool { return s.Status != status })
}

// refutes reports whether the finding makes its whole result say nothing.
func (f Finding) refutes() bool {
	return f.Topic == TopicNotEnforced || f.Topic == TopicPolicyNotEnforced ||
		f.Topic == TopicUnreachable
}

// refutations say that no pair of the result was ever blocked, or none ever answered, where it had
// to be. Enforced says that policy had an effect on other pairs of the run.
func (r Result) refutations(all []Result, enforced bool) []Finding {
	say := func(topic Topic, what string) []Finding {
		text := "in " + ResultName(r.Summary.Scenario, r.Summary.Setting) + " not one probe was " +
			what
		return []Finding{{Topic: topic, Severity: SeverityCritical, Text: text}}
	}

	switch {
	case unreachable(r.Samples):
		return say(TopicUnreachable,
			"answered before the trigger: can the targets be reached at all?")
	case !unenforced(r.alike(all)):
		return nil
	case enforced:
		return say(TopicPolicyNotEnforced, "blocked: this policy is not enforced, others are")
	}

	return say(TopicNotEnforced, "blocked: is policy enforced at all in this cluster?")
}

// alike are the samples that tell whether policy has an effect on the pairs of the result: its own.
// Pairs that must stay blocked are taken together with those of the scenario's other parts, since a
// slow start is a leak of the first part.
func (r Result) alike(all []Result) []Sample {
	if r.Summary.Kind != KindBlocked {
		return r.Samples
	}

	family, _, _ := strings.Cut(r.Summary.Scenario, "/")
	var found []Sample
	for _, other := range all {
		of, _, _ := strings.Cut(other.Summary.Scenario, "/")
		if of == family && other.Summary.Setting == r.Summary.Setting &&
			other.Summary.Kind == KindBlocked {
			found = append(found, other.Samples...)
		}
	}

	return found
}

// unenforced reports whether policy had no effect on the pairs: some had to be blocked and were
// answered by every probe, and none was blocked, or changed. Pairs without a probe say nothing.
func unenforced(samples []Sample) bool {
	exposed := false
	for _, s := range samples {
		if s.WasBlocked() || s.Status == Measured && !s.Kind.Stays() {
			return false
		}
		exposed = exposed || s.exposed()
	}
	return exposed
}

// unreachable reports whether all pairs had to be seen allowed before the trigger, and none was
// ever answered.
func unreachable(samples []Sample) bool {
	probed := false
	for _, s := range samples {
		if s.Status != Invalid || s.Kind == KindBlocked || s.Want != StateBlocked ||
			s.Probes[Allowed] > 0 {
			return false
		}
		probed = probed || s.WasBlocked()
	}
	return probed
}

// exposed reports whether every probe was answered of a pair that had to be blocked: before the
// trigger, after it, or all the time. That an open connection lives on says nothing about policy.
func (s Sample) exposed() bool {
	if s.Probes[Allowed] == 0 || s.WasBlocked() {
		return false
	}
	switch s.Kind {
	case KindOpen, KindOpenBlocked, KindOpenAllowed:
		return false
	case KindBlocked:
		return s.Status == Invalid || s.Leaks > 0
	}
	return s.Status == Censored && s.Want == StateBlocked ||
		s.Status == Invalid && s.Want != StateBlocked
}

// showsPolicy reports whether the sample shows that policy has an effect: a write changed what the
// pair could do, or the pair had to stay blocked and did. That a new pod was first not reached and
// then was shows only that it started.
func (s Sample) showsPolicy() bool {
	if s.Status != Measured {
		return false
	}
	if s.Kind.Stays() {
		return s.Kind.Keeps() == StateBlocked && s.Leaks == 0 && s.WasBlocked()
	}
	return s.Start.Source == StartWrite
}

// WasBlocked reports whether a probe of the pair met a filter, or nothing. One that was unanswered
// did not: its connection opened.
func (s Sample) WasBlocked() bool {
	blocks := func(v Verdict) bool { return v.Blocked() && v != Unanswered }
	if blocks(s.Baseline) {
		return true
	}
	for _, verdict := range Verdicts() {
		if blocks(verdict) && s.Probes[verdict] > 0 {
			return true
		}
	}
	return false
}

// counts are pairs by what is to be said about them.
type counts struct {
	pairs                     int
	wanted, changed, censored int // new connections that had to change
	connections, blocked      int // open connections that policy began to forbid
	watched, leaking, leaks   int // pairs that must stay blocked, those answered, and the replies
	invalid, exposed, deleted int // not proved; of these, answered while they had to be blocked
	flapping, flaps           int
	// of pairs that had to stay allowed, and blocked, through one
	kept, barred Disruption
	reason       string // of the first invalid one
	unobserved   int    // pairs that nobody watched
	lost         string // why, of the first one
}

func count(samples []Sample) counts {
	c := counts{pairs: len(samples)}
	for _, s := range samples {
		c.add(s)
	}
	return c
}

func (c *counts) add(s Sample) {
	is := func(condition bool) int {
		if condition {
			return 1
		}
		return 0
	}
	switch {
	case s.Status == Invalid:
		if c.invalid == 0 {
			c.reason = s.Reason
		}
		c.invalid++
		c.exposed += is(s.exposed())
	case s.Status == Deleted:
		c.deleted++
	case s.Status == Unobserved:
		if c.unobserved == 0 {
			c.lost = s.Reason
		}
		c.unobserved++
	case s.Watched.Is():
	case s.Kind == KindBlocked:
		c.watched += is(s.Status == Measured)
	case s.Kind == KindOpen:
		c.connections++
		c.blocked += is(s.Status == Measured)
	default:
		c.wanted++
		c.changed += is(s.Status == Measured)
		c.censored += is(s.Status == Censored)
	}

	switch {
	case !s.Watched.Is():
		c.leaks += s.Leaks
		c.leaking += is(s.Leaks > 0)
	case s.Kind.Keeps() == StateBlocked:
		c.barred.add(s.Watched)
	default:
		c.kept.add(s.Watched)
	}
	c.flaps += s.CountFlaps()
	c.flapping += is(s.CountFlaps() > 0)
}

// findings say what the counts mean. What there was nothing of is left out.
func (c counts) findings() []Finding {
	var all []Finding
	say := func(topic Topic, severity Severity, count, of int, format string, values ...any) {
		all = append(all, Finding{
			Topic: topic, Severity: severity, Count: count, Of: of,
			Text: fmt.Sprintf(format, values...),
		})
	}

	switch {
	case c.pairs == 0:
		say(TopicNothing, SeverityWarning, 0, 0, "nothing was measured")
	case c.censored > 0:
		say(TopicEnforced, SeverityCritical, c.changed, c.wanted,
			"pairs changed as the trigger asked; %d did not while they were watched", c.censored)
	case c.wanted > 0:
		say(TopicEnforced, SeverityOK, c.changed, c.wanted, "pairs changed as the trigger asked")
	}

	switch {
	case c.leaks > 0:
		say(TopicLeaks, SeverityCritical, c.leaks, 0, "replies that policy forbids, on %s",
			Plural(c.leaking, "pair"))
	case c.watched > 0:
		say(TopicLeaks, SeverityOK, 0, 0,
			"replies that policy forbids, on %s that must stay blocked",
			Plural(c.watched, "pair"))
	}

	all = append(all, c.disruption()...)

	switch {
	case c.flaps > 0:
		say(TopicFlaps, SeverityCritical, c.flaps, 0, "changes back and forth, on %s",
			Plural(c.flapping, "pair"))
	case c.wanted+c.connections > 0:
		say(TopicFlaps, SeverityOK, 0, 0, "changes back and forth")
	}

	switch {
	case c.exposed > 0:
		say(TopicInvalid, SeverityCritical, c.invalid, c.pairs,
			"pairs did not show the state that they must have before "+
				"the trigger (%s); %d of them were open all the time, although policy forbids it",
			c.reason, c.exposed)
	case c.invalid > 0:
		say(TopicInvalid, SeverityWarning, c.invalid, c.pairs,
			"pairs did not show the state that they must have before the trigger (%s)", c.reason)
	}

	if c.deleted > 0 {
		say(TopicDeleted, SeverityWarning, c.deleted, c.pairs,
			"targets went away before they had a result")
	}

	if c.unobserved > 0 {
		say(TopicUnobserved, SeverityWarning, c.unobserved, c.pairs,
			"pairs were not observed, which says nothing about the network (%s)", c.lost)
	}

	if c.connections > 0 {
		text := "open connections were blocked when policy began to forbid them"
		if c.blocked == 0 {
			text += "; many networks filter new ones only"
		}
		say(TopicConnections, SeverityInfo, c.blocked, c.connections, "%s", text)
	}

	return all
}

// disruption is what is to be said about pairs that had to keep their state through one.
func (c counts) disruption() []Finding {
	var all []Finding
	for _, one := range []struct {
		topic Topic
		Disruption
		kind Kind
	}{
		{TopicHoles, c.barred, KindBlocked},
		{TopicOutages, c.kept, KindAllowed},
	} {
		_, noun, _ := strings.Cut(Plural(one.Breaches, one.kind.BreachName()), " ")
		finding := Finding{Topic: one.topic, Severity: SeverityOK, Count: one.Breaches,
			Text: fmt.Sprintf("%s, on %d of %s that must stay %s", noun, one.Broken,
				Plural(one.Pairs, "pair"), one.kind.Keeps())}
		if one.Breaches > 0 {
			finding.Severity = SeverityCritical
			finding.Text += fmt.Sprintf(", the longest %s", one.Longest)
		}
		if one.Pairs > 0 {
			all = append(all, finding)
		}
	}

	unwatched := c.barred.Unwatched + c.kept.Unwatched
	if unwatched > 0 {
		longest := max(c.barred.LongestUnknown, c.kept.LongestUnknown)
		all = append(all, Finding{
			Topic: TopicUnknown, Severity: SeverityWarning, Count: unwatched,
			Of: c.barred.Pairs + c.kept.Pairs,
			Text: fmt.Sprintf("pairs were not watched for a time, up to %s: their probes were "+
				"not sent, and nothing is known of what the network did then",
				FormatDuration(longest)),
		})
	}
	return all
}
