// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// TestEvictedAgent has an agent go before and after a trigger, and another come in its place:
// nobody waits for the pairs of one that has gone, nobody takes the word of one that came too late,
// and what it had reported before counts.
func TestEvictedAgent(t *testing.T) {
	const first, second = "first", "second"
	for _, test := range []struct {
		name    string
		created bool          // whether the target comes after the trigger
		later   time.Duration // and how much later than the agents
		probing string        // the agent at the trigger
		living  string        // the one that is there in the end
		from    string        // whose sample of the pair there is
		awaited bool          // whether the pair is waited for
		want    measure.Status
	}{
		{"nothing happens", false, 0, first, first, "", true, measure.Unobserved},
		{"it has reported", false, 0, first, first, first, false, measure.Measured},
		{"it goes", false, 0, first, "", "", false, measure.Unobserved},
		{"it goes after it has reported", false, 0, first, "", first, false, measure.Measured},
		{"it is replaced", false, 0, first, second, "", false, measure.Unobserved},
		{"the other one reports", false, 0, first, second, second, false, measure.Unobserved},
		{"it was replaced before", false, 0, second, second, second, false, measure.Measured},
		{"there was none", false, 0, "", second, second, false, measure.Unobserved},
		{"a target from before the other one", true, time.Second, first, second, second, false,
			measure.Unobserved},
		{"a target that comes later", true, time.Minute, first, second, "", true,
			measure.Unobserved},
		{"a target that comes later, and its sample", true, time.Minute, first, second, second,
			false, measure.Measured},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := scenario.Find("policy-deny")
				check(t, err)
				e := newEnvironment(DefaultOptions(), s, nil, nil, func(Progress) {})
				c := newCollector(kube.Namespace{}, setting.ClockAuto)
				e.collector = c
				it := e.newIteration(s.Parts(e.parameters)[0])
				it.probing = make(map[int]string)
				if test.probing != "" {
					it.probing[0] = test.probing
				}
				if test.living != "" {
					agent := &agentLog{pod: measure.Object{UID: test.living}}
					c.agents[test.living] = agent
					c.greet(agent, &protocol.Hello{})
				}

				time.Sleep(test.later)
				pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID("target"),
					Labels: map[string]string{protocol.AgentLabel: "0"}}}
				expect := it.part.Expect[0]
				it.expect(pod, expect)
				key := it.keyOf(pod, expect)
				if test.created {
					it.came[key] = time.Now()
				}
				if test.from != "" {
					c.samples[key] = measure.Sample{Status: measure.Measured,
						Client: measure.Object{UID: test.from},
						Start:  measure.Start{Source: measure.StartAddress}}
					c.fresh = append(c.fresh, key)
				}

				open := len(it.awaited) - it.have() - it.unheard(maps.Keys(it.awaited))
				if (open > 0) != test.awaited {
					t.Errorf("%d pairs are waited for; want that: %t", open, test.awaited)
				}
				all := it.account()
				if len(all) != 1 || all[0].Status != test.want {
					t.Errorf("the samples are %+v; want one that is %s", all, test.want)
				}
			})
		})
	}
}
