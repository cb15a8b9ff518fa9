// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// log is what an agent with a number of samples writes.
func log(t *testing.T, samples int) []string {
	t.Helper()
	var output bytes.Buffer
	lines := protocol.NewLines(&output)
	check(t, lines.Write(protocol.Line{Hello: &protocol.Hello{Agent: 1}}))
	for number := range samples {
		text, err := result.Marshal(measure.Sample{
			Scenario: "test", Status: measure.Censored, Iteration: 1, Agent: 1,
			Target: measure.Target{
				Pod:     measure.Object{UID: string(rune('a' + number))},
				Address: netip.MustParseAddrPort("10.0.0.1:80"),
			},
		})
		check(t, err)
		check(t, lines.Write(protocol.Line{Sample: text}))
	}
	check(t, lines.Write(protocol.Line{Finished: &protocol.Finished{Iteration: 1,
		Samples: samples}}))
	return strings.SplitAfter(strings.TrimSpace(output.String()), "\n")
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLogIsReadAgain gives the collector a log that breaks off and comes again from its beginning,
// with lines of others in between: every sample is there once.
func TestLogIsReadAgain(t *testing.T) {
	c, agent := newCollector(kube.Namespace{}, setting.ClockAuto), &agentLog{}
	lines := log(t, 5)
	others := []string{"I1123 something else", "{\"other\": 1}"}
	for _, line := range slices.Concat(others, lines[:4], lines) {
		check(t, c.take(agent, []byte(line)))
	}
	if len(c.samples) != 5 || agent.finished != 1 || len(c.warnings) != 0 {
		t.Errorf("%d samples, iteration %d, warnings %v; want 5, 1 and none", len(c.samples),
			agent.finished, c.warnings)
	}
}

// TestLinesAreMissing takes lines out of a log: that is noticed.
func TestLinesAreMissing(t *testing.T) {
	c := newCollector(kube.Namespace{}, setting.ClockAuto)
	agent := &agentLog{pod: measure.Object{Name: "agent-1"}}
	lines := log(t, 5)
	for _, line := range append(lines[:2:2], lines[4:]...) {
		check(t, c.take(agent, []byte(line)))
	}
	if len(c.samples) != 3 ||
		!c.warnings["2 lines of agent pod agent-1 are missing from its log: "+
			"their results are lost"] {
		t.Errorf("%d samples, warnings %v; want 3 and one that says so", len(c.samples), c.warnings)
	}
	check(t, c.take(agent, []byte(`{"seq":8,"sample":7}`)))
	if len(c.warnings) != 2 {
		t.Errorf("a line that cannot be read gives no warning: %v", c.warnings)
	}
}

// TestPairWithoutReport accounts for a pair whose agent is gone, so that its clock is unknown too:
// nobody watched it, and it has no latency.
func TestPairWithoutReport(t *testing.T) {
	it := &iteration{
		number: 1, env: &environment{collector: newCollector(kube.Namespace{}, setting.ClockAuto)},
		expected: map[pairKey]measure.Target{{iteration: 1, uid: "a", scenario: "test"}: {}},
	}
	all := it.account()
	if len(all) != 1 || all[0].Status != measure.Unobserved || all[0].Reason == "" {
		t.Fatalf("the account is %+v; want one unobserved pair", all)
	}
	if latency, _, known := all[0].Observed(); known {
		t.Errorf("its latency is %s; want none", latency)
	}
}

// TestAwait waits for a condition that a line brings about, and gives up with its cause.
func TestAwait(t *testing.T) {
	c, agent := newCollector(kube.Namespace{}, setting.ClockAuto), &agentLog{}
	c.agents["x"] = agent
	done := make(chan error, 1)
	go func() {
		done <- c.await(t.Context(), func() bool { return c.finished(1) && c.ready() == 1 })
	}()
	for _, line := range log(t, 1) {
		check(t, c.take(agent, []byte(line)))
	}
	check(t, <-done)
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, late)
	defer cancel()
	if err := c.await(ctx, func() bool { return false }); !errors.Is(err, late) {
		t.Errorf("the error is %v; want the cause", err)
	}
}

// TestPresumed counts the pairs of an iteration that all agents presume to be blocked.
func TestPresumed(t *testing.T) {
	c := newCollector(kube.Namespace{}, setting.ClockAuto)
	for number, name := range []string{"x", "y"} {
		agent := &agentLog{}
		c.agents[name] = agent
		var output bytes.Buffer
		check(
			t,
			protocol.NewLines(&output).
				Write(protocol.Line{Presumed: &protocol.Pairs{Iteration: 2, Pairs: 3 + number}}),
		)
		check(t, c.take(agent, output.Bytes()))
	}
	if now, before := c.presumed(2), c.presumed(1); now != 7 || before != 0 {
		t.Errorf("%d pairs are presumed to be blocked in iteration 2, %d in iteration 1; want 7 "+
			"and 0", now, before)
	}
}

// TestAgentOfAnotherVersion reads the log of an agent that speaks another version of the protocol:
// whoever waits for it hears why it waits in vain.
func TestAgentOfAnotherVersion(t *testing.T) {
	c := newCollector(kube.Namespace{}, setting.ClockAuto)
	agent := &agentLog{pod: measure.Object{Name: "agent-0"}}
	c.agents["x"] = agent
	if err := c.take(agent, []byte(`{"seq":1,"hello":{"agent":0,"mode":"connect"}}`)); err == nil {
		t.Error("the log of an agent without a version is read on")
	}
	err := c.await(t.Context(), func() bool { return false })
	const want = "read the log of an agent: " +
		"pod agent-0 speaks protocol version 0, expected version 2: " +
		"runner and agents must be of one release: name the image with --image"
	if err == nil || err.Error() != want {
		t.Errorf("the error is %q; want %q", err, want)
	}
}

// TestCutOffAgent publishes plans to two agents of which some do not answer: who cannot reach the
// API server is named within 15 s, with what it says. One that falls silent later ends the run only
// if no other is left, and after an outage of the API server only when clients have had the time to
// come back.
func TestCutOffAgent(t *testing.T) {
	const complaint = "The watch of config map a/plan broke; resuming: i/o timeout"
	tests := map[string]struct {
		answers [][]int       // the agents that answer each plan; 20 s lie between two
		outage  bool          // whether logs break off before the last plan
		busy    bool          // whether the agents write something after the last plan
		within  time.Duration // of that plan; 0 if the run does not end
	}{
		"none":                    {answers: [][]int{{0, 1}, {0, 1}, {0, 1}}},
		"all, from the beginning": {answers: [][]int{{}}, within: contact},
		"one, from the beginning": {answers: [][]int{{0}}, within: contact},
		"one falls silent":        {answers: [][]int{{0, 1}, {0}, {0}}},
		"all fall silent":         {answers: [][]int{{0, 1}, {}}, within: contact},
		"after an outage": {answers: [][]int{{0, 1}, {}}, outage: true,
			within: reconnect},
		"while they have much to do": {answers: [][]int{{0, 1}, {}}, busy: true, within: reconnect},
		"one restarted, one silent":  {answers: [][]int{{0, 1}, {1}}, outage: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCollector(kube.Namespace{}, setting.ClockAuto)
				agents := []*speaker{newSpeaker(t, c, 0), newSpeaker(t, c, 1)}
				for _, one := range agents {
					check(t, c.take(one.log, []byte("W1129 07:00:00.000000       1 "+
						"watch.go:176] "+complaint)))
				}

				var began time.Time
				for number, answering := range test.answers {
					time.Sleep(20 * time.Second)
					last := number == len(test.answers)-1
					if last && test.outage {
						check(t, c.take(agents[0].log, agents[0].hello))
					}
					began = time.Now()
					c.expectAnswer(number+1, contact, []netip.AddrPort{
						netip.MustParseAddrPort("10.96.0.1:443"),
					})
					time.Sleep(time.Second)
					for _, one := range answering {
						agents[one].say(protocol.Line{Clock: &protocol.Clock{Ping: number + 1}})
					}
					for _, one := range agents {
						if last && test.busy {
							one.say(protocol.Line{Proved: &protocol.Pairs{}})
						}
					}
				}

				bounded, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				err := c.await(bounded, func() bool { return false })
				took := time.Since(began)
				switch failed := c.failure() != nil; {
				case failed != (test.within > 0):
					t.Errorf("the run ended after %s: %v", took, err)
				case failed && (took != test.within || !strings.Contains(err.Error(), complaint) ||
					!strings.Contains(err.Error(), "10.96.0.1:443")):
					t.Errorf("after %s, want %s: %v", took, test.within, err)
				}
			})
		})
	}
}

// speaker is an agent that writes to a collector.
type speaker struct {
	t      *testing.T
	to     *collector
	log    *agentLog
	lines  *protocol.Lines
	output bytes.Buffer
	hello  []byte
}

// newSpeaker is an agent that has said hello.
func newSpeaker(t *testing.T, to *collector, number int) *speaker {
	s := &speaker{t: t, to: to, log: &agentLog{pod: measure.Object{Name: "agent"}}}
	s.lines = protocol.NewLines(&s.output)
	to.agents[string(rune('a'+number))] = s.log
	s.hello = s.say(protocol.Line{Hello: &protocol.Hello{Agent: number}})
	return s
}

// say has the agent write a line, which it returns.
func (s *speaker) say(line protocol.Line) []byte {
	s.t.Helper()
	check(s.t, s.lines.Write(line))
	text := bytes.Clone(bytes.TrimSpace(s.output.Bytes()))
	s.output.Reset()
	check(s.t, s.to.take(s.log, text))
	return text
}
