// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

func began() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// sampleAt is a pair of policy-deny that changed within an interval after the trigger, in
// milliseconds.
func sampleAt(number int, lower, upper float64) measure.Sample {
	s := measure.Sample{
		Scenario: "policy-deny", Status: measure.Measured, Want: measure.StateBlocked, Iteration: 1,
		Client: measure.Object{Namespace: "agents", Name: "agent-0", UID: "client-0"},
		Target: measure.Target{
			Pod: measure.Object{Namespace: "targets", Name: fmt.Sprintf("target-%d", number),
				UID: fmt.Sprintf("target-%d", number)},
			Address: netip.MustParseAddrPort("10.0.0.1:8080"),
		},
		Start:   measure.Start{Source: measure.StartWrite, At: began()},
		Bracket: measure.Bracket{Lower: began().Add(ms(lower)), Upper: began().Add(ms(upper))},
		Ended:   began().Add(ms(upper + 300)),
	}
	s.Probes[measure.Allowed], s.Probes[measure.Dropped] = 10, 10
	return s
}

// censoredAt is a pair of policy-deny that was watched for some milliseconds in vain.
func censoredAt(number int, watched float64) measure.Sample {
	s := sampleAt(number, 0, 0)
	s.Status, s.Reason, s.Bracket = measure.Censored, "the run ended", measure.Bracket{}
	s.Ended = began().Add(ms(watched))
	s.Probes[measure.Dropped] = 0
	return s
}

// leaking is a pair of pod-startup that was to stay blocked, and was answered.
func leaking(leaks int) measure.Sample {
	s := sampleAt(2, 5, 6)
	s.Scenario, s.Want = "pod-startup/forbidden", measure.StateAllowed
	s.Kind, s.Leaks = measure.KindBlocked, leaks
	return s
}

func sourceOf(samples ...measure.Sample) report.Source {
	return report.Source{
		Directory: "results", Samples: samples,
		Run: result.Run{
			Schema: 1, ID: "abc", Version: "v1", Began: began(), Ended: began().Add(time.Minute),
			Kubernetes: "v1.37.2",
			Command:    []string{"run", "policy-deny", "--threshold", "policy-deny.p99<1s"},
			Nodes:      []result.Node{{Name: "node-0", Kernel: "6.1", OS: "Linux"}},
			Scenarios: []result.Scenario{{Scenario: "policy-deny", AgentNodes: []string{"node-0"},
				TargetNodes: []string{"node-0", "node-1"}}},
		},
	}
}
