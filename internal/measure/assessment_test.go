// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pairOf is a pair of policy-deny, which the trigger was to block, with the number of probes of
// each verdict.
func pairOf(status Status, probes map[Verdict]uint64, change ...func(*Sample)) Sample {
	s := Sample{
		Scenario: "policy-deny", Status: status, Want: StateBlocked,
		Start: Start{Source: StartWrite, At: at(0)}, Ended: at(3000),
	}
	if status == Measured {
		s.Bracket = Bracket{at(10), at(12)}
	}
	for verdict, n := range probes {
		s.Probes[verdict] = n
	}
	for _, one := range change {
		one(&s)
	}
	return s
}

func named(scenario string) func(*Sample) {
	return func(s *Sample) { s.Scenario = scenario }
}

func openConnection(s *Sample) { s.Scenario, s.Kind = "established", KindOpen }

func set(setting string) func(*Sample) { return func(s *Sample) { s.Setting = setting } }

func because(reason string) func(*Sample) { return func(s *Sample) { s.Reason = reason } }

func allowing(s *Sample) { s.Want = StateAllowed }

// staysBlocked makes the pair one that must stay blocked, with some leaks.
func staysBlocked(leaks int) func(*Sample) {
	return func(s *Sample) {
		s.Scenario, s.Want = "pod-startup/forbidden", StateAllowed
		s.Kind, s.Leaks = KindBlocked, leaks
	}
}

// TestAssess has the cases of the rules that were: of the exit code, of the page's headline, of a
// section of the page and of a JUnit case; and every case in which they differed. Because says why
// the answer is the right one.
func TestAssess(t *testing.T) {
	answered := map[Verdict]uint64{Allowed: 100}
	silent := map[Verdict]uint64{Dropped: 100}
	both := map[Verdict]uint64{Allowed: 10, Dropped: 90}
	opened := map[Verdict]uint64{Allowed: 90, Unanswered: 10}

	moved := pairOf(Measured, both)
	slow := pairOf(Censored, both)
	never := pairOf(Censored, answered)
	lost := pairOf(Unobserved, nil, because("its agent did not report"))
	unproved := pairOf(Invalid, both, because("never seen allowed"))
	gone := pairOf(Deleted, both)
	open := pairOf(Invalid, answered, named("policy-creation"), allowing,
		because("never seen blocked"))
	dead := pairOf(Invalid, silent, because("never seen allowed"))
	connection := pairOf(Censored, answered, openConnection)
	started := pairOf(Measured, both, named("pod-creation"), allowing,
		func(s *Sample) { s.Start.Source = StartAddress })
	flapped := pairOf(Measured, both, func(s *Sample) { s.FlapCount = 2 })
	endOfLeak := pairOf(Measured, both, staysBlocked(3), func(s *Sample) { s.FlapCount = 1 })
	tight, leaking := pairOf(Measured, silent, staysBlocked(0)),
		pairOf(Measured, both, staysBlocked(3))
	leakedAll := pairOf(Measured, answered, staysBlocked(100))

	tests := []struct {
		name      string
		because   string
		samples   []Sample
		threshold string
		outcome   RunOutcome
		reason    string
		// found are the topics of the findings, in order, each with its severity.
		found string
	}{
		{
			name: "all changed", samples: []Sample{moved, tight},
			because: "this is what a run is for",
			outcome: Passed, found: "enforced ok, leaks ok, flaps ok",
		},
		{
			name: "nothing was run", samples: nil,
			because: "a page that says nothing must not show that all is well",
			outcome: Passed, found: "nothing-measured warning",
		},
		{
			name: "one of two pairs was too slow", samples: []Sample{moved, slow},
			because: "the policy has an effect, and not on this pair while it was watched",
			outcome: NotInTime, reason: "1 of 2 pairs", found: "enforced critical, flaps ok",
		},
		{
			name: "an agent did not report", samples: []Sample{moved, lost},
			because: "nobody watched its pair: that says nothing about the network",
			outcome: NotObserved, reason: "1 of 2 pairs (its agent did not report)",
			found: "enforced ok, flaps ok, unobserved warning",
		},
		{
			name:    "an agent did not report, and a pair of another was slow",
			samples: []Sample{slow, lost},
			because: "a run that was carried out in part is to be repeated, " +
				"whatever it has seen",
			outcome: NotObserved, reason: "1 of 2 pairs",
			found: "enforced critical, flaps ok, unobserved warning",
		},
		{
			name:    "an agent did not report, and the old state of a pair was not seen",
			samples: []Sample{unproved, lost, moved},
			because: "a run that was carried out in part comes first",
			outcome: NotObserved, reason: "1 of 3 pairs",
			found: "enforced ok, flaps ok, invalid warning, unobserved warning",
		},
		{
			name: "no pair was ever blocked", samples: []Sample{never, never},
			because: "that policy is not enforced is another answer than that it is slow",
			outcome: NotProved, reason: "is policy enforced at all",
			found: "not-enforced critical, enforced critical, flaps ok",
		},
		{
			name:    "a connection opened, and its response did not come",
			samples: []Sample{pairOf(Censored, opened)},
			because: "Unanswered is no block: the network let the connection through",
			outcome: NotProved, reason: "is policy enforced at all",
			found: "not-enforced critical, enforced critical, flaps ok",
		},
		{
			name:    "of pairs that were never blocked one has no probes",
			samples: []Sample{never, pairOf(Censored, nil)},
			because: "a pair that nobody looked at does not show that policy works",
			outcome: NotProved, reason: "is policy enforced at all",
			found: "not-enforced critical, enforced critical, flaps ok",
		},
		{
			name:    "of pairs that were never blocked one was deleted",
			samples: []Sample{never, pairOf(Deleted, answered)},
			because: "the pair that is left was never blocked, which is worse than slow",
			outcome: NotProved, reason: "is policy enforced at all",
			found: "not-enforced critical, enforced critical, flaps ok, deleted warning",
		},
		{
			name: "nothing is blocked in one of two settings",
			samples: []Sample{pairOf(Censored, answered, set("ingress")),
				pairOf(Measured, both, set("egress"))},
			because: "settings are never mixed: that egress works says nothing about ingress",
			outcome: NotProved,
			reason:  "in policy-deny (ingress) not one probe was blocked: this policy is not",
			found:   "policy-not-enforced critical, enforced critical, flaps ok",
		},
		{
			name: "another change worked", samples: []Sample{never,
				pairOf(Measured, both, named("pod-label"))},
			because: "policy works in this cluster, but not this one",
			outcome: NotProved, reason: "this policy is not enforced, others are",
			found: "policy-not-enforced critical, enforced critical, flaps ok",
		},
		{
			name: "a pair stayed blocked elsewhere", samples: []Sample{never, tight},
			because: "what kept that pair blocked is policy",
			outcome: NotProved, reason: "this policy is not enforced, others are",
			found: "policy-not-enforced critical, enforced critical, leaks ok, flaps ok",
		},
		{
			name:    "new pods were reached, after probes that failed",
			samples: []Sample{never, started},
			because: "a pod that has not started yet answers nobody: that is no policy",
			outcome: NotProved, reason: "is policy enforced at all",
			found: "not-enforced critical, enforced critical, flaps ok",
		},
		{
			name: "one of the pairs was blocked for a moment", samples: []Sample{never, slow},
			because: "something filters, so it is slow or partial",
			outcome: NotInTime, reason: "2 of 2 pairs", found: "enforced critical, flaps ok",
		},
		{
			name: "pairs that had to be blocked first were open", samples: []Sample{open, open},
			because: "not one probe was blocked here either, whatever the trigger was to do",
			outcome: NotProved,
			reason:  "in policy-creation not one probe was blocked: is policy enforced at all",
			found:   "not-enforced critical, invalid critical",
		},
		{
			name: "one pair that had to be blocked first was open",
			samples: []Sample{
				open, pairOf(Measured, both, named("policy-creation"), allowing),
			},
			because: "the policy that denies is in force on the other pair",
			outcome: NotProved, reason: "1 of 2 pairs (never seen blocked)",
			found: "enforced ok, flaps ok, invalid critical",
		},
		{
			name:    "targets that had to be allowed first did not answer",
			samples: []Sample{dead, dead},
			because: "what does not answer without a policy has another fault than policy",
			outcome: NotProved, reason: "not one probe was answered before the trigger",
			found: "unreachable critical, invalid warning",
		},
		{
			name: "one pair was not proved", samples: []Sample{moved, unproved},
			because: "a result that says nothing must not pass for one",
			outcome: NotProved, reason: "1 of 2 pairs (never seen allowed)",
			found: "enforced ok, flaps ok, invalid warning",
		},
		{
			name: "one pair was not proved, and one was slow", samples: []Sample{slow, unproved},
			because: "a state that nobody has seen comes before a statistic",
			outcome: NotProved, reason: "1 of 2 pairs (never seen allowed)",
			found: "enforced critical, flaps ok, invalid warning",
		},
		{
			name: "a target was deleted", samples: []Sample{moved, gone},
			because: "who deletes a target has no result of it, and the others count",
			outcome: Passed, found: "enforced ok, flaps ok, deleted warning",
		},
		{
			name: "replies came that policy forbids", samples: []Sample{moved, leaking},
			because: "a leak is critical; it decides about the exit code if a threshold asks",
			outcome: Passed, found: "enforced ok, leaks critical, flaps ok",
		},
		{
			name: "the end of a leak", samples: []Sample{moved, endOfLeak},
			because: "the beginning and the end of a leak are a leak, and no flaps besides",
			outcome: Passed, found: "enforced ok, leaks critical, flaps ok",
		},
		{
			name: "every probe leaked from the first pods on", samples: []Sample{leakedAll},
			because: "without a policy in force the number of leaks says nothing",
			outcome: NotProved, reason: "in pod-startup/forbidden not one probe was blocked",
			found: "not-enforced critical, leaks critical",
		},
		{
			name: "every probe leaked until the pod had started",
			samples: []Sample{
				leakedAll, pairOf(Measured, silent, staysBlocked(0),
					named("pod-startup/main/forbidden")),
			},
			because: "the policy was late, which is a leak, and then it was in force",
			outcome: Passed, found: "leaks critical",
		},
		{
			name: "a pair that must stay blocked was not reported",
			samples: []Sample{
				tight, pairOf(Unobserved, nil, staysBlocked(0)),
			},
			because: "of a pair that nobody watched it is not known that nothing leaked",
			outcome: NotObserved, reason: "1 of 2 pairs", found: "leaks ok, unobserved warning",
		},
		{
			name: "a pair flapped", samples: []Sample{flapped},
			because: "a policy that was taken back did not hold; it decides if a threshold asks",
			outcome: Passed, found: "enforced ok, flaps critical",
		},
		{
			name: "open connections live on", samples: []Sample{connection},
			because: "that is an answer and no fault; its exit code is documented",
			outcome: NotInTime, reason: "1 of 1 pairs", found: "flaps ok, connections info",
		},
		{
			name:    "open connections live on beside pairs that changed",
			samples: []Sample{connection, moved},
			because: "new connections are filtered: policy is enforced",
			outcome: NotInTime, reason: "1 of 2 pairs",
			found: "enforced ok, flaps ok, connections info",
		},
		{
			name: "a threshold failed", samples: []Sample{moved}, threshold: "policy-deny.p99<1ms",
			because: "it was asked for",
			outcome: ThresholdFailed, reason: "1 of 1",
			found: "enforced ok, flaps ok, threshold critical",
		},
		{
			name: "a threshold about nothing that was run", samples: []Sample{moved},
			threshold: "pod-label.p99<1s",
			because:   "what was not measured has not passed",
			outcome:   ThresholdFailed, reason: "1 of 1",
			found: "enforced ok, flaps ok, threshold critical",
		},
		{
			name: "a threshold failed, and a pair was slow", samples: []Sample{moved, slow},
			threshold: "policy-deny.p99<1ms",
			because:   "that a pair did not change explains the threshold",
			outcome:   NotInTime, reason: "1 of 2 pairs",
			found: "enforced critical, flaps ok, threshold critical",
		},
		{
			name: "a threshold passed", samples: []Sample{moved}, threshold: "policy-deny.p99<1s",
			because: "it was asked for, and is so",
			outcome: Passed, found: "enforced ok, flaps ok, threshold ok",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var thresholds []Threshold
			if test.threshold != "" {
				threshold, err := ParseThreshold(test.threshold)
				if err != nil {
					t.Fatal(err)
				}
				thresholds = append(thresholds, threshold)
			}
			a := Assess(test.samples, thresholds)
			if a.Outcome != test.outcome || !strings.Contains(a.Reason, test.reason) ||
				(a.Reason == "") != (test.reason == "") {
				t.Errorf("it ends %s, %q; want %s, %q: %s", a.Outcome, a.Reason, test.outcome,
					test.reason, test.because)
			}
			var found []string
			for _, one := range a.Findings {
				found = append(found, string(one.Topic)+" "+one.Severity.String())
			}
			if diff := cmp.Diff(test.found, strings.Join(found, ", ")); diff != "" {
				t.Errorf("the findings, %s (-want +got):\n%s", test.because, diff)
			}
		})
	}
}

// TestAssessResults says of each result how it stands, and keeps what is about one out of the
// other.
func TestAssessResults(t *testing.T) {
	both := map[Verdict]uint64{Allowed: 10, Dropped: 90}
	a := Assess([]Sample{
		pairOf(Measured, both, set("ingress")), pairOf(Censored, both),
		pairOf(Measured, both, staysBlocked(2)),
	}, nil)
	var got []string
	for _, one := range a.Results {
		got = append(got, ResultName(one.Summary.Scenario,
			one.Summary.Setting)+": "+one.Severity().String())
		for _, finding := range one.Findings {
			if finding.Scenario != one.Summary.Scenario || finding.Setting != one.Summary.Setting {
				t.Errorf("a finding about %s is among those of %s", finding.Scenario,
					one.Summary.Scenario)
			}
		}
	}
	want := []string{"pod-startup/forbidden: critical", "policy-deny: critical",
		"policy-deny (ingress): ok"}
	if !slices.Equal(got, want) {
		t.Errorf("the results are %q; want %q", got, want)
	}
	const says = "1 of 2 pairs changed as the trigger asked; 1 did not while they were watched"
	if text := a.Findings[0].String(); text != says {
		t.Errorf("the first finding says %q; want %q", text, says)
	}
}

// TestObserved has one latency for a pair, however it ended, for percentiles, distributions and the
// slowest pair.
func TestObserved(t *testing.T) {
	lost := pairOf(Censored, nil)
	lost.Start = Start{}
	for _, test := range []struct {
		name     string
		sample   Sample
		latency  time.Duration
		censored Censoring
		ok       bool
	}{
		{"a measured pair took the middle of its bracket", pairOf(Measured, nil),
			11 * time.Millisecond, Exact, true},
		{"a censored pair took longer than it was watched for", pairOf(Censored, nil),
			3 * time.Second, RightCensored, true},
		{"a censored pair took some time if nobody knows since when", lost, 0, RightCensored, true},
		{"an invalid pair has no latency", pairOf(Invalid, nil), 0, Exact, false},
		{"a pair that nobody watched has no latency, however long the run waited for it",
			pairOf(Unobserved, nil), 0, Exact, false},
		{"a pair that must stay blocked has no latency", pairOf(Measured, nil, staysBlocked(1)), 0,
			Exact, false},
		{"a pair that the first probe reached took at most so long",
			pairOf(Measured, nil, func(s *Sample) { s.Bracket.Lower = time.Time{} }),
			12 * time.Millisecond, LeftCensored, true},
	} {
		latency, censored, ok := test.sample.Observed()
		if latency != test.latency || censored != test.censored || ok != test.ok {
			t.Errorf("%s: %s, %q, %t", test.name, latency, censored, ok)
		}
	}
}

// TestTook has what is shown of a pair's time: of one that leaked, when that began.
func TestTook(t *testing.T) {
	unbounded := func(s *Sample) { s.Bracket.Lower = time.Time{} }
	for _, test := range []struct {
		name     string
		sample   Sample
		took     time.Duration
		censored Censoring
		ok       bool
	}{
		{"a pair that changed took its latency", pairOf(Measured, nil), 11 * time.Millisecond,
			Exact, true},
		{"a leak between two probes", pairOf(Measured, nil, staysBlocked(1)), 11 * time.Millisecond,
			Exact, true},
		{"a leak of the first probe", pairOf(Measured, nil, staysBlocked(1), unbounded),
			12 * time.Millisecond, LeftCensored, true},
		{"nothing leaked", pairOf(Measured, nil, staysBlocked(0), func(s *Sample) {
			s.Bracket = Bracket{}
		}), 0, Exact, false},
		{"a pair that did not change", pairOf(Censored, nil), 3 * time.Second, RightCensored, true},
		{"one of which nobody knows since when it was watched", pairOf(Censored, nil,
			func(s *Sample) { s.Start = Start{} }), 0, Exact, false},
	} {
		took, censored, ok := test.sample.Took()
		if took != test.took || censored != test.censored || ok != test.ok {
			t.Errorf("%s: %s, %q, %t; want %s, %q, %t", test.name, took, censored, ok, test.took,
				test.censored, test.ok)
		}
	}
}

// TestFailure has what a result fails with for who asks no more of it than to pass.
func TestFailure(t *testing.T) {
	both := map[Verdict]uint64{Allowed: 10, Dropped: 90}
	moved, lost, gone := pairOf(Measured, both), pairOf(Unobserved, nil), pairOf(Deleted, both)
	lives := pairOf(Censored, both, openConnection)
	cut := pairOf(Measured, both, openConnection)
	for _, test := range []struct {
		name    string
		samples []Sample
		want    Topic
	}{
		{"every pair was measured", []Sample{moved}, ""},
		{"a pair was slow, another went away", []Sample{pairOf(Censored, both), gone},
			TopicEnforced},
		{"a pair went away", []Sample{moved, gone}, TopicDeleted},
		{"nobody watched a pair, another went away", []Sample{gone, lost}, TopicUnobserved},
		{"nobody watched a pair, another leaked", []Sample{
			pairOf(Measured, both, staysBlocked(1)), pairOf(Unobserved, nil, staysBlocked(0)),
		}, TopicLeaks},
		{"open connections were cut", []Sample{cut}, ""},
		{"an open connection lives on", []Sample{cut, lives}, TopicConnections},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, ok := Assess(test.samples, nil).Results[0].Failure()
			if found.Topic != test.want || ok != (test.want != "") {
				t.Errorf("it fails with %q, %t; want %q", found.Topic, ok, test.want)
			}
		})
	}
}

// TestSeverity has warnings make of a good run one that wants attention.
func TestSeverity(t *testing.T) {
	both := map[Verdict]uint64{Allowed: 10, Dropped: 90}
	moved := pairOf(Measured, both)
	warned := moved
	warned.Warnings = []string{"the filter resets"}
	for _, test := range []struct {
		name   string
		sample Sample
		run    []string
		want   Severity
	}{
		{"nothing to say", moved, nil, SeverityOK},
		{"a warning of a sample", warned, nil, SeverityWarning},
		{"a warning of the run", moved, []string{"a policy of others"}, SeverityWarning},
		{"a warning beside worse", pairOf(Censored, both), []string{"a policy of others"},
			SeverityCritical},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := Assess([]Sample{test.sample}, nil)
			a.Warnings = test.run
			if got := a.Severity(); got != test.want {
				t.Errorf("it is %s; want %s", got, test.want)
			}
		})
	}
}
