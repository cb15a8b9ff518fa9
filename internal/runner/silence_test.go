// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// TestSilentAgent has one of two agents fall silent, while a ping comes every few seconds. Its log
// is opened again; if that does not help, it costs its own pairs, and is back when it is heard.
func TestSilentAgent(t *testing.T) {
	tests := map[string]struct {
		ready corev1.ConditionStatus // of its node
		lost  time.Duration          // after which nothing is expected of it, counted from a ping
		says  string
	}{
		"its node is not ready": {corev1.ConditionUnknown, silence,
			"agent pod agent is not heard: node n is not ready: NodeStatusUnknown"},
		"nobody knows why": {corev1.ConditionTrue, unheardAfter,
			"agent pod agent is not heard: it has not answered for 25s: no stream"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
				node.Status.Conditions = []corev1.NodeCondition{{
					Type: corev1.NodeReady, Status: test.ready, Reason: "NodeStatusUnknown",
				}}
				home := kube.Namespace{Client: fake.NewClientset(node)}
				c := newCollector(home, setting.ClockAuto)
				var said []string
				c.say = func(text string) { said = append(said, text) }
				agents := []*speaker{newSpeaker(t, c, 0), newSpeaker(t, c, 1)}
				silent := agents[1].log
				silent.node, silent.reopen = "n", make(chan struct{}, 1)
				silent.trouble = "no stream"

				began := time.Now()
				for ping := 1; ping <= 8; ping++ {
					c.expectAnswer(ping, contact, nil)
					agents[0].say(protocol.Line{Clock: &protocol.Clock{Ping: ping}})
					if ping == 1 {
						agents[1].say(protocol.Line{Clock: &protocol.Clock{Ping: ping}})
						silent.trouble = "no stream"
					}
					time.Sleep(pingEvery)
					synctest.Wait()
					after := time.Since(began) - pingEvery // the second ping, unanswered
					if opened := len(silent.reopen) > 0; opened != (after >= silence) {
						t.Errorf("%s after the ping the log was opened again: %t", after, opened)
					}
					c.mu.Lock()
					if lost := len(c.lost()) > 0; lost != (after >= test.lost) {
						t.Errorf("%s after the ping the agent is lost: %t", after, lost)
					}
					if c.answered(ping) != (after >= test.lost || ping == 1) {
						t.Errorf("%s after the ping all have answered: %t", after, c.answered(ping))
					}
					c.mu.Unlock()
				}
				if len(said) != 1 || !strings.HasPrefix(said[0], test.says) || c.failure() != nil {
					t.Errorf("said %q, the run ended with %v; want %q", said, c.failure(),
						test.says)
				}

				agents[1].say(protocol.Line{Clock: &protocol.Clock{Ping: 8}})
				c.mu.Lock()
				defer c.mu.Unlock()
				if len(c.lost()) > 0 || c.ready() != 2 {
					t.Errorf("lost %v, %d ready, after it was heard again", c.lost(), c.ready())
				}
			})
		})
	}
}

// TestNewestAgentCounts has an agent in another's place, whose pod stays because its node does not
// answer. A line of the old one that comes late makes it no newer.
func TestNewestAgentCounts(t *testing.T) {
	c := newCollector(kube.Namespace{}, setting.ClockAuto)
	now := time.Now()
	old := &speaker{t: t, to: c, log: &agentLog{created: now}}
	old.lines = protocol.NewLines(&old.output)
	young := &speaker{t: t, to: c, log: &agentLog{created: now.Add(time.Minute)}}
	young.lines = protocol.NewLines(&young.output)
	c.agents["old"], c.agents["young"] = old.log, young.log

	young.say(protocol.Line{Hello: &protocol.Hello{Agent: 1}})
	old.say(protocol.Line{Hello: &protocol.Hello{Agent: 1}})
	young.say(protocol.Line{Clock: &protocol.Clock{Ping: 3}})
	young.say(protocol.Line{Proved: &protocol.Pairs{Iteration: 1, Pairs: 2}})
	old.say(protocol.Line{Proved: &protocol.Pairs{Iteration: 1, Pairs: 2}})
	pairs, agents := c.proved(1)
	if !c.answered(3) || c.ready() != 1 || pairs != 2 || agents != 1 {
		t.Errorf("answered %t, %d ready, %d pairs of %d agents are proved; want true, 1, 2 and 1",
			c.answered(3), c.ready(), pairs, agents)
	}
	if c.clockOf(1) != &young.log.clock {
		t.Error("the clock is that of the old agent")
	}
}

// TestPairsOfLostAgent: they are not waited for, what comes of them too late is not taken for a
// result, and the next iteration is without them.
func TestPairsOfLostAgent(t *testing.T) {
	c := newCollector(kube.Namespace{}, setting.ClockAuto)
	newSpeaker(t, c, 0)
	lost := newSpeaker(t, c, 1)
	lost.log.lost = "it is"
	e := &environment{collector: c, pods: make(map[string][]corev1.Pod)}
	it := &iteration{
		number: 1, env: e, expected: make(map[pairKey]measure.Target),
		awaited: make(map[pairKey]bool), agents: make(map[pairKey]int),
	}
	for number := range 4 {
		key := pairKey{iteration: 1, uid: string(rune('a' + number))}
		it.expected[key], it.awaited[key], it.agents[key] = measure.Target{}, true, number%2
		c.samples[key] = measure.Sample{}.Invalidate(measure.ProbedLate)
	}
	if count := it.unheard(maps.Keys(it.awaited)); count != 2 {
		t.Errorf("%d pairs are not heard of; want 2", count)
	}

	it.deaf = e.lostAgents()
	statuses := make(map[measure.Status]int)
	for _, sample := range it.account() {
		statuses[sample.Status]++
	}
	if statuses[measure.Unobserved] != 2 || statuses[measure.Invalid] != 2 {
		t.Errorf("the account is %v; want the pairs of one agent unobserved", statuses)
	}
}

// TestOutageIsNoSilence: as long as the API server is away nobody is heard. What counts is who
// answers once it is back.
func TestOutageIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(kube.Namespace{}, setting.ClockAuto)
		agent := newSpeaker(t, c, 0)
		agent.say(protocol.Line{Clock: &protocol.Clock{Ping: 1}})
		began := time.Now()
		const outage = 100 * time.Second
		c.outage = func() time.Time { return began.Add(min(time.Since(began), outage)) }

		time.Sleep(time.Millisecond)
		c.expectAnswer(2, contact, nil)
		time.Sleep(outage)
		c.expectAnswer(3, contact, nil)
		time.Sleep(reconnect - time.Second)
		lost := (&environment{collector: c}).lostAgents()
		if err := c.failure(); err != nil || len(lost) > 0 {
			t.Errorf("the run ended, or an agent is lost, %s after the outage: %v, %v",
				reconnect-time.Second, err, lost)
		}
		time.Sleep(2 * time.Second)
		if err := c.failure(); err == nil {
			t.Errorf("the run goes on %s after the outage, and nobody answers", reconnect)
		}
	})
}

// TestSlowIsNotCutOff has all agents silent after an iteration that they spoke in: they are waited
// for as long as anything that is set up, and no longer.
func TestSlowIsNotCutOff(t *testing.T) {
	for name, test := range map[string]struct {
		iterations int
		within     time.Duration // in which the run ends if nobody answers
	}{
		"in the first iteration": {1, contact},
		"in a later one":         {2, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCollector(kube.Namespace{Client: fake.NewClientset()}, setting.ClockAuto)
				e := &environment{collector: c, iterations: test.iterations}
				e.options.SetupTimeout = 10 * time.Minute
				for number := range 2 {
					newSpeaker(t, c, number).say(protocol.Line{Clock: &protocol.Clock{Ping: 1}})
				}

				time.Sleep(time.Millisecond)
				c.expectAnswer(2, e.cutOffAfter(), nil)
				time.Sleep(test.within - time.Millisecond)
				synctest.Wait()
				if err := c.failure(); err != nil || len(e.lostAgents()) > 0 {
					t.Errorf("the run ended before %s, or an agent is lost: %v, %v", test.within,
						err, e.lostAgents())
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if c.failure() == nil {
					t.Errorf("the run goes on after %s, and nobody answers", test.within)
				}
			})
		})
	}
}
