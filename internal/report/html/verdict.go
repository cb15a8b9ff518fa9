// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// tone is how good or bad something is. The document shows it as a colour, a sign and a word.
type tone string

const (
	good  tone = "good"
	warn  tone = "warn"
	bad   tone = "bad"
	plain tone = "plain"
)

// Sign is the tone without colour.
func (t tone) Sign() string {
	return map[tone]string{good: "✓", warn: "!", bad: "✕", plain: "·"}[t]
}

// Word is the tone for a reader who sees neither.
func (t tone) Word() string {
	return map[tone]string{good: "good", warn: "attention", bad: "bad", plain: "information"}[t]
}

// statement is one finding: a figure with what it means.
type statement struct {
	Tone               tone
	Label, Value, Text string
	Anchor             string
}

// verdict is what a person wants to know first.
type verdict struct {
	Tone       tone
	Headline   string
	Statements []statement
}

// tally counts the pairs of a run by what is to be said about them.
type tally struct {
	wanted, changed, censored int // pairs that were to change; open connections apart
	connections, cut          int // pairs with an open connection that was to be cut
	watched, leaking, leaks   int // pairs that were to stay blocked, those that were answered, and the replies
	invalid, open, deleted    int // not proved; of these, answered all the time that they were to be blocked
	flapping, flaps           int
	unenforced                bool // not one probe was blocked, although some were to be
}

func count(samples []measure.Sample) tally {
	var t tally
	for _, sample := range samples {
		t.add(sample)
	}
	t.unenforced = unenforced(samples)
	return t
}

func (t *tally) add(s measure.Sample) {
	switch {
	case s.Status == measure.Invalid:
		t.invalid++
		if neverBlocked(s) {
			t.open++
		}
	case s.Status == measure.Deleted:
		t.deleted++
	case s.Forbidden:
		t.watched++
	case isConnection(s):
		t.connections++
		t.cut += oneIf(s.Status == measure.Measured)
	default:
		t.wanted++
		t.changed += oneIf(s.Status == measure.Measured)
		t.censored += oneIf(s.Status == measure.Censored)
	}
	t.leaks += s.Leaks
	t.leaking += oneIf(s.Leaks > 0)
	if !s.Forbidden { // the beginning and the end of a leak are no flaps besides
		t.flaps += s.FlapCount
		t.flapping += oneIf(s.FlapCount > 0)
	}
}

func oneIf(condition bool) int {
	if condition {
		return 1
	}
	return 0
}

// isConnection reports whether the pair had an open connection, which many networks never cut.
func isConnection(s measure.Sample) bool { return s.Scenario == "established" }

// neverBlocked reports whether a pair that had to be blocked first was answered by every probe.
func neverBlocked(s measure.Sample) bool {
	return (s.Forbidden || s.Want == measure.StateAllowed) && s.Probes[measure.Allowed] > 0 && blocked(s) == 0
}

func blocked(s measure.Sample) (probes uint64) {
	for _, verdict := range measure.Verdicts() {
		if verdict.Blocked() {
			probes += s.Probes[verdict]
		}
	}
	return probes
}

// unenforced reports whether not one probe was blocked, although there are pairs that were to become blocked.
func unenforced(samples []measure.Sample) bool {
	awaited := false
	for _, s := range samples {
		if blocked(s) > 0 {
			return false
		}
		asked := s.Want == measure.StateBlocked && !isConnection(s)
		awaited = awaited || asked && s.Status == measure.Censored && s.Probes[measure.Allowed] > 0
	}
	return awaited
}

func newVerdict(samples []measure.Sample, run run) verdict {
	t := count(samples)
	v := verdict{Tone: good, Statements: []statement{t.enforced(), t.leaked(), slowest(samples, run), t.flapped()}}
	v.Statements = append(v.Statements, t.notProved()...)
	v.Statements = append(v.Statements, t.connected()...)
	v.Statements = append(v.Statements, limits(run.Thresholds)...)
	if n := len(run.Warnings); n > 0 {
		v.Statements = append(v.Statements, statement{
			warn, "Warnings", fmt.Sprint(n), "qualify the figures", run.ID + "-warnings",
		})
	}
	v.Headline = t.headline()
	v.Tone = worst(v.Statements)
	return v
}

// headline is the verdict in one or two plain sentences.
func (t tally) headline() string {
	var wrong []string
	switch {
	case t.unenforced:
		wrong = append(wrong, "is not enforced at all")
	case t.censored > 0 || t.open > 0:
		wrong = append(wrong, "was not enforced everywhere")
	}
	if t.leaks > 0 {
		wrong = append(wrong, "leaked")
	}
	if t.flaps > 0 {
		wrong = append(wrong, "did not hold all the time")
	}
	switch {
	case t.wanted+t.connections+t.watched+t.invalid == 0:
		return "Nothing was measured."
	case len(wrong) > 0:
		return "Policy " + joined(wrong) + "."
	case t.invalid > 0:
		return "Policy was enforced wherever that could be proved."
	case t.wanted == 0 && t.watched > 0:
		return "Policy leaked nothing."
	case t.wanted == 0:
		return "No new connection was measured."
	case t.watched == 0:
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

func (t tally) enforced() statement {
	s := statement{
		Tone: good, Label: "Enforced", Value: fmt.Sprintf("%d of %d", t.changed, t.wanted),
		Text: "pairs changed as the trigger asked",
	}
	switch {
	case t.wanted == 0:
		return statement{Tone: plain, Label: "Enforced", Value: "–", Text: "no pair was to change"}
	case t.unenforced:
		s.Tone, s.Text = bad, s.Text+"; not one probe was blocked"
	case t.censored > 0:
		s.Tone, s.Text = bad, s.Text+fmt.Sprintf("; %d did not in the time that they were watched", t.censored)
	}
	return s
}

func (t tally) leaked() statement {
	switch {
	case t.leaks > 0:
		return statement{
			Tone: bad, Label: "Leaks", Value: fmt.Sprint(t.leaks),
			Text: fmt.Sprintf("replies came that policy forbade, on %s", counted(t.leaking, "pair")),
		}
	case t.watched > 0:
		return statement{
			Tone: good, Label: "Leaks", Value: "0",
			Text: fmt.Sprintf("replies that policy forbade, on %s that had to stay blocked", counted(t.watched, "pair")),
		}
	}
	return statement{Tone: plain, Label: "Leaks", Value: "–", Text: "no pair was watched that had to stay blocked"}
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (t tally) flapped() statement {
	if t.flaps == 0 {
		return statement{Tone: good, Label: "Flaps", Value: "0", Text: "changes back and forth"}
	}
	return statement{
		Tone: bad, Label: "Flaps", Value: fmt.Sprint(t.flaps),
		Text: "changes back and forth, on " + counted(t.flapping, "pair"),
	}
}

// notProved is about the pairs that say nothing.
func (t tally) notProved() []statement {
	var all []statement
	if t.invalid > 0 {
		one := statement{
			Tone: warn, Label: "Not proved", Value: fmt.Sprint(t.invalid),
			Text: "pairs did not show the state that they had to have before the trigger",
		}
		if t.open > 0 {
			one.Tone = bad
			one.Text += fmt.Sprintf("; %d of them were open all the time, although policy forbade it", t.open)
		}
		all = append(all, one)
	}
	if t.deleted > 0 {
		all = append(all, statement{
			Tone: warn, Label: "Deleted", Value: fmt.Sprint(t.deleted), Text: "targets went away before they had a result",
		})
	}
	return all
}

// connected is about open connections. Many networks let them live on, which is no fault.
func (t tally) connected() []statement {
	if t.connections == 0 {
		return nil
	}
	one := statement{
		Tone: plain, Label: "Connections cut", Value: fmt.Sprintf("%d of %d", t.cut, t.connections),
		Text: "that were open when policy began to forbid them",
	}
	if t.cut == 0 {
		one.Text += "; many networks filter new connections only"
	}
	return []statement{one}
}

// limits is about the thresholds, if there are any.
func limits(thresholds []threshold) []statement {
	held := 0
	for _, one := range thresholds {
		held += oneIf(one.Tone == good)
	}
	if len(thresholds) == 0 {
		return nil
	}
	one := statement{Tone: good, Label: "Thresholds", Value: fmt.Sprintf("%d of %d", held, len(thresholds)), Text: "hold"}
	if held < len(thresholds) {
		one.Tone = bad
	}
	return []statement{one}
}

// slowest is about the pair that took longest, or that was watched longest in vain.
func slowest(samples []measure.Sample, run run) statement {
	most, found := time.Duration(0), measure.Sample{}
	for _, s := range samples {
		if took, ok := timeOf(s); ok && (found.Scenario == "" || took > most) {
			most, found = took, s
		}
	}
	if found.Scenario == "" {
		return statement{Tone: plain, Label: "Slowest pair", Value: "–", Text: "no pair has a latency"}
	}
	section := run.section(found)
	one := statement{
		Tone: plain, Label: "Slowest pair", Value: duration(most), Anchor: section.Anchor,
		Text: cmp.Or(found.Target.Pod.Name, "a pod without a name") + " in " + section.title(),
	}
	if found.Status == measure.Censored {
		one.Tone, one.Value, one.Text = bad, ">"+one.Value, one.Text+", which did not change in that time"
	}
	return one
}

// section is the section that a sample is in.
func (r run) section(s measure.Sample) section {
	at := slices.IndexFunc(r.Sections, func(one section) bool {
		return one.Scenario == s.Scenario && one.Setting == s.Setting
	})
	return r.Sections[at] // there is one for every sample
}

// timeOf is how long a pair took, or for how long it was watched in vain.
func timeOf(s measure.Sample) (time.Duration, bool) {
	switch {
	case s.Forbidden || isConnection(s):
		return 0, false
	case s.Status == measure.Measured:
		return s.Latency().Estimate(), true
	case s.Status == measure.Censored && !s.Start.At.IsZero():
		return s.Ended.Sub(s.Start.At), true
	}
	return 0, false
}

// named is a scenario with its setting.
func named(scenario, setting string) string {
	if setting == "" {
		return scenario
	}
	return scenario + " (" + setting + ")"
}

func worst(all []statement) tone {
	for _, one := range []tone{bad, warn} {
		if slices.ContainsFunc(all, func(s statement) bool { return s.Tone == one }) {
			return one
		}
	}
	return good
}
