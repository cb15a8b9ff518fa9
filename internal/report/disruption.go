// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Disruption is what happened in an iteration, and what was seen meanwhile of the pairs that had to
// keep their state.
type Disruption struct {
	result.Event
	Scenario, Setting string
	// Totals are those of each kind of pairs on each node: the one on which policy is enforced.
	Totals []DisruptionTotal
	// Breaches are the outages and holes, in the order of their beginnings.
	Breaches []Breach
}

// DisruptionTotal is what was seen of the pairs of a kind on a node.
type DisruptionTotal struct {
	Kind measure.Kind
	measure.NodeDisruption
}

// Breach is an outage or a hole of a pair, counted from the beginning of the event.
type Breach struct {
	measure.Episode
	Sample measure.Sample
	Node   string
}

// Disruptions are those of a run.
func (s Source) Disruptions() []Disruption {
	var all []Disruption
	for _, scenario := range s.Run.Scenarios {
		for _, event := range scenario.Events {
			one := Disruption{Event: event, Scenario: scenario.Scenario, Setting: scenario.Setting}
			one.add(s.watched(one), enforcedOn(scenario.Settings))
			all = append(all, one)
		}
	}
	return all
}

// watched are the samples of a disruption.
func (s Source) watched(d Disruption) []measure.Sample {
	return slices.DeleteFunc(slices.Clone(s.Samples), func(one measure.Sample) bool {
		name, _, _ := strings.Cut(one.Scenario, "/")
		return name != d.Scenario || one.Setting != d.Setting ||
			one.Iteration != d.Iteration || !one.Watched.Is()
	})
}

// enforcedOn tells the node on which policies of a direction are enforced.
func enforcedOn(settings setting.Record) func(measure.Sample) string {
	if setting.All().Recall(settings).Direction == setting.Ingress {
		return func(s measure.Sample) string { return s.TargetNode }
	}
	return func(s measure.Sample) string { return s.ClientNode }
}

func (d *Disruption) add(samples []measure.Sample, node func(measure.Sample) string) {
	byKind := make(map[measure.Kind][]measure.Sample)
	for _, one := range samples {
		byKind[one.Kind] = append(byKind[one.Kind], one)
		for _, episode := range one.Watched.Breaches.List {
			d.Breaches = append(d.Breaches, Breach{episode, one, node(one)})
		}
	}
	for _, kind := range measure.Kinds() {
		for _, one := range measure.DisruptedByNode(byKind[kind], node) {
			d.Totals = append(d.Totals, DisruptionTotal{kind, one})
		}
	}
	slices.SortStableFunc(d.Breaches, func(a, b Breach) int {
		from, _ := a.Began()
		other, _ := b.Began()
		return cmp.Compare(from, other)
	})
}

// Began is when the breach began, after the beginning of the event.
func (b Breach) Began() (least, most time.Duration) { return b.after(b.Episode.Began) }

// Ended is when it ended. Of one that had not ended both are when it was seen last.
func (b Breach) Ended() (least, most time.Duration) {
	ended := b.Episode.Ended
	if b.Open() {
		ended.Upper = ended.Lower
	}
	return b.after(ended)
}

func (b Breach) after(bracket measure.Bracket) (least, most time.Duration) {
	start := b.Sample.Start
	return bracket.Lower.Sub(start.Latest()), bracket.Upper.Sub(start.At)
}

// What is told of an event in a terminal.
const (
	shownBreaches = 20
	shownMarks    = 20
)

// DisruptionText writes what happened, in at most 100 columns.
func DisruptionText(w io.Writer, all []Disruption) error {
	var page bytes.Buffer
	for _, one := range all {
		one.text(&page)
	}
	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write what was disrupted: %w", err)
	}
	return nil
}

func (d Disruption) text(page *bytes.Buffer) {
	wrapped(page, "event: ", d.Summary())
	for i, mark := range d.Marks {
		if i == shownMarks {
			fmt.Fprintf(page, "  … %d more in run.json\n", len(d.Marks)-shownMarks+d.LeftOut)
			break
		}
		wrapped(page, fmt.Sprintf("  %10s  ", since(mark.At.Sub(d.Event.Began))), mark.Text)
	}

	table := tabwriter.NewWriter(page, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-16s\t%-14s\tpairs\tbroken\tlost\tepisodes\tlongest\tunknown\tlate\t\n",
		"  node", "must stay")
	for _, t := range d.Totals {
		cells := t.cells(func(text string) string { return text })
		fmt.Fprintf(table, "  %-14s\t%-14s\t%s\t\n", cells[0], cells[1],
			strings.Join(cells[2:], "\t"))
	}
	_ = table.Flush() // to memory

	for i, one := range d.Breaches {
		if i == shownBreaches {
			fmt.Fprintf(page, "  … %d more in samples.jsonl\n", len(d.Breaches)-shownBreaches)
			break
		}
		wrapped(page, "  ", one.String())
	}
}

// markdown writes what happened and the totals; each breach is in the other formats.
func (d Disruption) markdown(page *bytes.Buffer) {
	fmt.Fprintf(page, "\nevent: %s\n\n| node | must stay | pairs | broken | lost | episodes | "+
		"longest | unknown | late |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
		escape(d.Summary()))
	for _, t := range d.Totals {
		fmt.Fprintf(page, "| %s |\n", strings.Join(t.cells(escape), " | "))
	}
}

// cells are the total as the columns of a table.
func (t DisruptionTotal) cells(text func(string) string) []string {
	return []string{
		text(known(t.Node)), MustStay(t.Kind), fmt.Sprint(t.Pairs), fmt.Sprint(t.Broken),
		fmt.Sprint(t.Lost), fmt.Sprint(t.Breaches), dash(t.Breaches > 0, t.Longest),
		dash(t.Unwatched > 0, measure.FormatDuration(t.LongestUnknown)),
		measure.FormatDuration(t.Lateness),
	}
}

// shownCommand is how much of a command is shown: run.json has all of it.
const shownCommand = 200

// Summary is the event in a line.
func (d Disruption) Summary() string {
	took := d.Event.Ended.Sub(d.Event.Began)
	what := []rune(d.What)
	if len(what) > shownCommand {
		what = append(what[:shownCommand:shownCommand], '…')
	}
	text := fmt.Sprintf("%s, for %s", string(what), measure.FormatDuration(took))
	if d.ExitCode != nil {
		text += fmt.Sprintf(", exit code %d", *d.ExitCode)
	}
	return text
}

// String is the breach in a line.
func (b Breach) String() string {
	lastGood, firstBad := b.Began()
	lastBad, firstGood := b.Ended()
	text := fmt.Sprintf("%s of %s (%s) on %s: began %s to %s, ", b.Sample.Kind.BreachName(),
		object(b.Sample.Target.Pod), MustStay(b.Sample.Kind), known(b.Node), since(lastGood),
		since(firstBad))
	if b.Open() {
		return text + "seen to the end, " + since(lastBad)
	}
	text += fmt.Sprintf("ended %s to %s", since(lastBad), since(firstGood))
	if b.Merged > 0 {
		text += fmt.Sprintf(" (with %d more)", b.Merged)
	}
	return text
}

// MustStay is what pairs of a kind must stay, in a word or two.
func MustStay(kind measure.Kind) string {
	switch kind {
	case measure.KindOpenAllowed, measure.KindOpenBlocked:
		return kind.Keeps().String() + ", open"
	default:
		return kind.Keeps().String()
	}
}

// since is an instant after the beginning of the event, or before it.
func since(d time.Duration) string {
	if d < 0 {
		return "-" + measure.FormatDuration(-d)
	}
	return "+" + measure.FormatDuration(d)
}

// dash is a value where there is one.
func dash(is bool, value any) string {
	if !is {
		return none
	}
	return fmt.Sprint(value)
}
