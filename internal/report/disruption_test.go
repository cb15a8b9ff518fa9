// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// disrupted is a run through an event in which a port was open for a moment, and one pair whose
// outage lasts to the end.
func disrupted() Source {
	began := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	span := func(least, most int) measure.Span {
		return measure.Span{Least: time.Duration(least) * time.Millisecond,
			Most: time.Duration(most) * time.Millisecond}
	}
	sample := func(part string, kind measure.Kind, e measure.Episode, longest measure.Span,
	) measure.Sample {
		return measure.Sample{
			Scenario: "disruption/" + part, Kind: kind, Status: measure.Measured, Iteration: 1,
			Start:      measure.Start{Source: measure.StartWrite, At: began},
			Target:     measure.Target{Pod: measure.Object{Namespace: "t", Name: "web"}},
			ClientNode: "node-1", TargetNode: "node-2",
			Watched: measure.Watched{From: at(-1000), To: at(3000), Lateness: 3 * time.Millisecond,
				Breaches: measure.Episodes{List: []measure.Episode{e}, Count: 1, Longest: longest}},
		}
	}
	return Source{
		Run: result.Run{Scenarios: []result.Scenario{{Scenario: "disruption",
			Events: []result.Event{{
				Iteration: 1, What: "sh open.sh", Began: began, Ended: at(2500), ExitCode: new(0),
				Marks: []result.Mark{{At: at(400), Text: "patched"}},
			}}}}},
		Samples: []measure.Sample{
			sample("blocked", measure.KindBlocked, measure.Episode{
				Began: measure.Bracket{Lower: at(410), Upper: at(416)},
				Ended: measure.Bracket{Lower: at(810), Upper: at(816)}, Probes: 80,
			}, span(394, 406)),
			sample("open-allowed", measure.KindOpenAllowed, measure.Episode{
				Began: measure.Bracket{Lower: at(-20), Upper: at(5)},
				Ended: measure.Bracket{Lower: at(2900)}, Probes: 100,
			}, span(2895, 2920)),
			{Scenario: "pod-creation", Iteration: 1, Status: measure.Measured},
		},
	}
}

func TestDisruptionText(t *testing.T) {
	const want = `event: sh open.sh, for 2500ms, exit code 0
      +400ms  patched
    node            must stay       pairs  broken  lost  episodes           longest  unknown    late
    node-1          blocked             1       1     0         1    394ms to 406ms        -  3.00ms
    node-1          allowed, open       1       1     1         1  2895ms to 2920ms        -  3.00ms
  outage of t/web (allowed, open) on node-1: began -20.0ms to +5.00ms, seen to the end, +2900ms
  hole of t/web (blocked) on node-1: began +410ms to +416ms, ended +810ms to +816ms
`
	var got bytes.Buffer
	if err := DisruptionText(&got, disrupted().Disruptions()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("the text differs (-want +got):\n%s", diff)
	}
}

// Every format that shows results has those of a disruption.
func TestDisruptionFormats(t *testing.T) {
	reports := Build(disrupted())
	for name, test := range map[string]struct {
		write func(*bytes.Buffer) error
		want  []string
	}{
		"text": {func(b *bytes.Buffer) error { return Text(b, reports) },
			[]string{"1 outage\n", "1 hole\n", "event: sh open.sh"}},
		"Markdown": {func(b *bytes.Buffer) error { return Markdown(b, reports) },
			[]string{"| disruption/blocked | 1 of 1 | 1 hole on 1 pair, longest 394ms to 406ms |",
				"| node-1 | allowed, open | 1 | 1 | 1 | 1 | 2895ms to 2920ms | - | 3.00ms |"}},
		"JSON": {func(b *bytes.Buffer) error { return JSON(b, reports) },
			[]string{`"lastGoodNs": 410000000`, `"firstGoodNs": 816000000`, `"lost": 1`,
				`"what": "sh open.sh"`}},
		"JUnit": {func(b *bytes.Buffer) error { return JUnit(b, reports) },
			[]string{"1 outage on 1 pair, longest 2895ms to 2920ms, 1 of 1 connection lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := test.write(&got); err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(got.String(), want) {
					t.Errorf("it has no %q:\n%s", want, got.String())
				}
			}
		})
	}
}
