// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// TestRunDisruption has a command open a hole for a moment and then cut what is allowed: each shows
// on its pairs and on no others, and its brackets contain the commits of the truth log.
func TestRunDisruption(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	patch := labtest.Binary(t) + " kubectl -n $NETPOL_LATENCY_AGENTS patch networkpolicy allow " +
		"--type=json " +
		"-p '[{\"op\":\"OP\",\"path\":\"/spec/egress/0/ports\"VALUE}]'"
	ports := func(op, number string) string {
		value := ""
		if number != "" {
			value = `,"value":[{"protocol":"TCP","port":` + number + `}]`
		}
		return strings.NewReplacer("OP", op, "VALUE", value).Replace(patch)
	}
	event := strings.Join([]string{
		ports("remove", ""), "sleep 0.2", ports("add", "8080"), "sleep 0.3",
		ports("replace", "9999"), "sleep 0.2", ports("replace", "8080"),
	}, " && ")

	samples, output := measureRun(t, lab, exitThreshold, "disruption", "--targets=2",
		"--settle=500ms", "--threshold=disruption.holes==0", "--event", event)
	kinds := make(map[measure.Kind]int)
	for i, flips := range flipsOf(t, lab, samples, "TCP") {
		sample := samples[i]
		kinds[sample.Kind]++
		if sample.Status != measure.Measured {
			t.Errorf("%s: %s is %s: %s", sample.Scenario, sample.Target.Pod.Name, sample.Status,
				sample.Reason)
		}
		switch sample.Kind {
		case measure.KindAllowed, measure.KindBlocked:
			expectBreach(t, sample, flips)
		case measure.KindOpenAllowed: // the engine lets what is established pass
			if sample.Watched.Broken() {
				t.Errorf("%s: the connection is lost: %+v", sample.Scenario, sample.Watched)
			}
		}
	}
	for _, kind := range []measure.Kind{
		measure.KindAllowed, measure.KindBlocked, measure.KindOpenAllowed,
	} {
		if kinds[kind] != 2 {
			t.Errorf("%d pairs are %s; want 2", kinds[kind], kind)
		}
	}
	for _, want := range []string{"exit code 0", "2 of 2 open connections live on"} {
		if !strings.Contains(output, want) {
			t.Errorf("the output has no %q:\n%s", want, output)
		}
	}
}

// expectBreach checks that a pair had one breach, which began and ended with the only flips of the
// truth log while it was watched.
func expectBreach(t *testing.T, sample measure.Sample, flips []truth.Flip) {
	t.Helper()
	var while []truth.Flip
	for _, flip := range flips {
		if flip.Before.After(sample.Watched.From) && flip.Before.Before(sample.Watched.To) {
			while = append(while, flip)
		}
	}
	if len(while) == 2 && unseen(sample, while[0].After, while[1].Before) {
		t.Logf("%s: the agent was not run for as long as that took", sample.Scenario)
		return
	}
	breaches := sample.Watched.Breaches.List
	if len(breaches) != 1 || len(while) != 2 {
		t.Errorf("%s: %d breaches and %d flips; want 1 and 2: %+v", sample.Scenario, len(breaches),
			len(while), sample.Watched)
		return
	}
	for i, bracket := range []measure.Bracket{breaches[0].Began, breaches[0].Ended} {
		if bracket.Upper.Before(while[i].Before) || bracket.Lower.After(while[i].After) {
			t.Errorf("%s: bracket [%s, %s] misses the commit [%s, %s]", sample.Scenario,
				bracket.Lower, bracket.Upper, while[i].Before, while[i].After)
		}
	}
}

// unseen reports whether nobody watched a pair between two instants.
func unseen(sample measure.Sample, from, to time.Time) bool {
	return slices.ContainsFunc(sample.Watched.Unknown.List, func(e measure.Episode) bool {
		return !e.Began.Upper.After(from) && !e.Ended.Lower.Before(to)
	})
}
