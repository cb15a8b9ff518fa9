// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"slices"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// TestFlowsAreUsedAgain ends the probes of a pair, and looks at which ports the next ones have: a
// pair that is silent uses those of its earlier probes, and one that was answered none from before.
func TestFlowsAreUsedAgain(t *testing.T) {
	const d, a = measure.Dropped, measure.Allowed
	for _, test := range []struct {
		name  string
		mode  Mode
		ends  []measure.Verdict // of probes that leave one after the other
		again []bool            // whether a probe's port was one of an earlier probe
	}{
		{"silent", Connect, []measure.Verdict{d, d, d, d, d, d},
			[]bool{false, false, false, true, true, true}},
		{"rejected", Connect, []measure.Verdict{measure.Rejected, d, measure.Unreachable, d},
			[]bool{false, false, false, true}},
		{"answered", Connect, []measure.Verdict{d, d, d, a, d, d, d, d, d},
			[]bool{false, false, false, true, false, false, false, false, true}},
		{"refused", UDP, []measure.Verdict{d, d, d, measure.Refused, d},
			[]bool{false, false, false, true, false}},
		{"not known", HTTP, []measure.Verdict{d, d, d, measure.Ambiguous, d, d},
			[]bool{false, false, false, true, false, true}},
		{"another tag each time", SCTP, []measure.Verdict{d, d, d, d},
			[]bool{false, false, false, false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			prober := &unanswered{}
			w := fakeWorker(t, prober, &prober.workspace, fast(), DefaultTimeout)
			w.ports, w.flows = newSourcePorts(portsOf(test.mode)), flowsOf(test.mode, 10)
			defer func() { check(t, w.poller.close()) }()
			p := newPair(silent(t), newRecorder(-1), 0)
			w.add(&p)
			seen := make(map[uint16]bool)
			var again []bool
			for _, verdict := range test.ends {
				i, _ := w.take(&p, w.clock.now())
				port := w.table.entries[i].port
				again = append(again, seen[port])
				seen[port] = true
				w.end(i, verdict, w.clock.now(), nil)
			}
			if !slices.Equal(again, test.again) {
				t.Errorf("the ports were those of earlier probes: %t; want %t", again, test.again)
			}
		})
	}
}

// TestAnsweredPortRests has a flow be answered whose port was handed out long ago: its turn does
// not come again before it has rested.
func TestAnsweredPortRests(t *testing.T) {
	p := newPorts(portRange{first: 40_000, count: 100, rest: tcpRest})
	port, turn := p.take(0)
	now := instant(0)
	for range 49 {
		now += instant(p.wait(now))
		p.take(now)
	}
	if !p.again(turn) {
		t.Fatal("a port may not be used again after half a rotation")
	}
	now += instant(tcpRest) // so that the others may be used at once
	p.answer(turn, now)
	answered := now
	for {
		now += instant(p.wait(now))
		if next, _ := p.take(now); next == port {
			break
		}
	}
	if now.since(answered) < tcpRest {
		t.Errorf("the port was used again after %s; want %s", now.since(answered), tcpRest)
	}
}
