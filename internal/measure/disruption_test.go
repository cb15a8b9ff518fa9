// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"testing"
	"time"
)

// watchedSample is a pair with breaches between milliseconds, and times in which it was not
// watched.
func watchedSample(scenario string, kind Kind, breaches, unknown []Episode) Sample {
	s := Sample{Scenario: scenario, Kind: kind, Status: Measured, Watched: Watched{From: at(0)}}
	for _, one := range breaches {
		s.Watched.Breaches.add(one)
	}
	for _, one := range unknown {
		s.Watched.Unknown.add(one)
	}
	return s
}

// disturbed are pairs of a disruption: an outage of about half a second, a connection that is lost,
// and one hole.
func disturbed() []Sample {
	lost := Episode{Began: Bracket{at(100), at(110)}, Ended: Bracket{Lower: at(900)}, Probes: 80}
	return []Sample{
		watchedSample("disruption/allowed", KindAllowed,
			[]Episode{episode(100, 120, 600, 650, 50)}, nil),
		watchedSample("disruption/allowed", KindAllowed, nil, []Episode{unwatched(10, 300)}),
		watchedSample("disruption/blocked", KindBlocked,
			[]Episode{episode(200, 210, 205, 220, 1)}, nil),
		watchedSample("disruption/open-allowed", KindOpenAllowed, []Episode{lost}, nil),
		watchedSample("disruption/open-blocked", KindOpenBlocked, nil, nil),
	}
}

func TestDisruptionThresholds(t *testing.T) {
	tests := []struct {
		text   string
		passed bool
		about  int // how many results it is about
	}{
		{"disruption.holes==0", false, 2},
		{"disruption/open-blocked.holes==0", true, 1},
		{"disruption.outages<2", true, 2},
		{"disruption.lost==0", false, 2},
		{"disruption.outage<1s", true, 2},
		{"disruption/allowed.outage<500ms", false, 1}, // it took 480 ms to 550 ms
		{"disruption/allowed.outage<470ms", false, 1},
		{"disruption/allowed.outage<=550ms", true, 1},
		{"disruption.hole<1s", true, 2},
		{"disruption.unknown<200ms", false, 4},
		{"disruption/blocked.outage<1s", false, 1}, // it has none
		{"disruption.p99<1s", false, 1},            // nobody has a latency
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			threshold, err := ParseThreshold(test.text)
			if err != nil {
				t.Fatal(err)
			}
			all := EvaluateAll([]Threshold{threshold}, SummarizeAll(disturbed()))
			if passed := len(Failed(all)) == 0; passed != test.passed || len(all) != test.about {
				t.Errorf("it is about %d results and passed is %v; want %d and %v: %+v", len(all),
					passed, test.about, test.passed, all)
			}
		})
	}
}

// What was disrupted is said in findings, and decides no exit code: thresholds do.
func TestDisruptionFindings(t *testing.T) {
	assessment := Assess(disturbed(), nil)
	for topic, want := range map[Topic]string{
		TopicHoles: "1 hole, on 1 of 2 pairs that must stay blocked, the longest 0.00ms to " +
			"20.0ms",
		TopicOutages: "2 outages, on 2 of 3 pairs that must stay allowed, the longest 790ms to " +
			"800ms",
		TopicUnknown: "1 of 5 pairs were not watched for a time, up to 290ms: their probes were " +
			"not " +
			"sent, and nothing is known of what the network did then",
	} {
		if found, ok := FindTopic(assessment.Findings, topic); !ok || found.String() != want {
			t.Errorf("%s: %q; want %q", topic, found, want)
		}
	}
	if assessment.Outcome != Passed {
		t.Errorf("the run is %s: %s; want passed", assessment.Outcome, assessment.Reason)
	}
	nodes := DisruptedByNode(disturbed(), func(s Sample) string { return s.Scenario[:12] })
	if len(nodes) != 3 || nodes[0].Pairs != 2 || nodes[0].LongestUnknown != 290*time.Millisecond {
		t.Errorf("the totals are %+v", nodes)
	}
}
