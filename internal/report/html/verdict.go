// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// severity is a measure.Severity as the document shows it: as a colour, a sign and a word.
type severity measure.Severity

const (
	plain = severity(measure.SeverityInfo)
	good  = severity(measure.SeverityOK)
	warn  = severity(measure.SeverityWarning)
	bad   = severity(measure.SeverityCritical)
)

// String is the class that has the severity's colour.
func (s severity) String() string { return [...]string{"plain", "good", "warn", "bad"}[s] }

// Sign is the severity without colour.
func (s severity) Sign() string { return [...]string{"·", "✓", "!", "✕"}[s] }

// Word is the severity for a reader who sees neither.
func (s severity) Word() string {
	return [...]string{"information", "good", "attention", "bad"}[s]
}

// statement is one finding: a statistic with what it means.
type statement struct {
	Severity           severity
	Label, Value, Text string
	Anchor             string
}

// verdict is what a person wants to know first.
type verdict struct {
	Severity   severity
	Headline   string
	Statements []statement
}

func newVerdict(assessment measure.Assessment, run run) verdict {
	v := verdict{Severity: severity(assessment.Severity()), Headline: headline(assessment)}
	for _, finding := range assessment.Findings {
		if finding.Topic != measure.TopicThreshold {
			v.Statements = append(v.Statements, run.statement(finding))
		}
	}

	v.Statements = append(v.Statements, slowest(assessment, run))
	v.Statements = append(v.Statements, limits(assessment.Thresholds)...)
	if n := len(run.Warnings); n > 0 {
		v.Statements = append(v.Statements, statement{
			warn, "Warnings", fmt.Sprint(n), "qualify the statistics", run.ID + "-warnings",
		})
	}

	return v
}

// statement is a finding in a tile.
func (r run) statement(finding measure.Finding) statement {
	label := map[measure.Topic]string{
		measure.TopicNothing: "Measured", measure.TopicIncomplete: "Incomplete",
		measure.TopicNotEnforced: "Not enforced", measure.TopicPolicyNotEnforced: "Not enforced",
		measure.TopicUnreachable: "Unreachable",
		measure.TopicEnforced:    "Enforced", measure.TopicConnections: "Connections blocked",
		measure.TopicLeaks: "Leaks",
		measure.TopicFlaps: "Flaps", measure.TopicUnobserved: "Not observed",
		measure.TopicInvalid: "Not proved",
		measure.TopicDeleted: "Deleted", measure.TopicVerdict: "Verdicts",
	}[finding.Topic]

	return statement{
		Severity: severity(finding.Severity), Label: label, Value: cmp.Or(finding.Value(), "-"),
		Text:   finding.Text,
		Anchor: r.anchor(finding.Scenario, finding.Setting),
	}
}

// headline is the verdict in one or two plain sentences.
func headline(assessment measure.Assessment) string {
	found := make(map[measure.Topic]measure.Finding)
	for _, one := range assessment.Findings {
		found[one.Topic] = one
	}
	has := func(topic measure.Topic) bool { _, ok := found[topic]; return ok }
	critical := func(topic measure.Topic) bool {
		return found[topic].Severity == measure.SeverityCritical
	}

	var wrong []string
	switch {
	case has(measure.TopicNotEnforced):
		wrong = append(wrong, "is not enforced at all")
	case has(measure.TopicPolicyNotEnforced), critical(measure.TopicEnforced),
		critical(measure.TopicInvalid):
		wrong = append(wrong, "was not enforced everywhere")
	}
	if critical(measure.TopicVerdict) {
		wrong = append(wrong, "is wrong for good on some pair")
	}
	if critical(measure.TopicLeaks) {
		wrong = append(wrong, "leaked")
	}
	if critical(measure.TopicFlaps) {
		wrong = append(wrong, "did not hold all the time")
	}

	switch measured := has(measure.TopicEnforced); {
	case len(wrong) > 0:
		return "Policy " + joined(wrong) + "."
	case has(measure.TopicUnreachable):
		return "The targets could not be reached."
	case measured && (has(measure.TopicUnobserved) || has(measure.TopicIncomplete)):
		return "Policy was enforced wherever it was observed."
	case has(measure.TopicInvalid):
		return "Policy was enforced wherever that could be proved."
	case !measured && has(measure.TopicLeaks):
		return "Policy leaked nothing."
	case !measured && has(measure.TopicConnections):
		return "No new connection was measured."
	case !measured:
		return "Nothing was measured."
	case !has(measure.TopicLeaks):
		return "Policy was enforced on every pair."
	}
	return "Policy was enforced on every pair, and leaked nothing."
}

// joined makes a list of parts a phrase.
func joined(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}

// limits is about the thresholds, if there are any.
func limits(thresholds []measure.Evaluation) []statement {
	if len(thresholds) == 0 {
		return nil
	}
	one := statement{Severity: plain, Label: "Thresholds", Text: "passed",
		Value: fmt.Sprintf("%d of %d", len(thresholds)-len(measure.Failed(thresholds)),
			len(thresholds))}
	for _, threshold := range thresholds {
		one.Severity = max(one.Severity, severity(threshold.Severity()))
	}
	return []statement{one}
}

// slowest is about the pair that took longest, or that was watched longest in vain.
func slowest(assessment measure.Assessment, run run) statement {
	one := statement{Severity: plain, Label: "Slowest pair", Value: "-",
		Text: "no pair has a latency"}
	found, ok := assessment.Slowest()
	if !ok {
		return one
	}

	s := found.Sample
	section := run.section(s.Scenario, s.Setting)
	one.Severity, one.Anchor = severity(found.Severity()), section.Anchor
	one.Value = found.Censored.String() + measure.FormatDuration(found.Took)
	one.Text = cmp.Or(s.Target.Pod.Name, "a pod without a name") + " in " + section.title()
	switch found.Censored {
	case measure.RightCensored:
		one.Text += ", which did not change in that time"
	case measure.LeftCensored:
		one.Text += ", which its first probe reached"
	}
	return one
}

// section is the section about a result.
func (r run) section(scenario, setting string) section {
	for _, one := range r.Sections {
		if one.Scenario == scenario && one.Setting == setting {
			return one
		}
	}
	return section{}
}

// anchor is where the result of a finding is, empty if the finding is about the run.
func (r run) anchor(scenario, setting string) string {
	if scenario == "" {
		return ""
	}
	return r.section(scenario, setting).Anchor
}
