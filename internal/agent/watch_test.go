// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// Pairs that must keep their state are watched from the trigger to the end, at the same pace, and
// each time in which they did not has its brackets.
func TestRemoteWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.network.open("10.0.0.1")
		s.pod("allowed", "a", "10.0.0.1")
		s.pod("blocked", "b", "10.0.0.2")
		s.pod("never", "a", "10.0.0.3")
		s.step(protocol.StepProve,
			protocol.Expect{Group: "a", Port: 80, Want: "blocked", Keep: "allowed"},
			protocol.Expect{Group: "b", Port: 80, Want: "allowed", Keep: "blocked", Part: "other"})
		s.sleep(2 * time.Second)
		s.step(protocol.StepTrigger)
		s.sleep(2 * time.Second)

		instants := make(map[string][2]time.Time)
		disturb := func(uid string, long time.Duration, first, then func(string), address string) {
			began := time.Now()
			first(address)
			s.sleep(long)
			instants[uid] = [2]time.Time{began, time.Now()}
			then(address)
			s.sleep(time.Second)
		}
		disturb("allowed", 200*time.Millisecond, s.network.shut, s.network.open, "10.0.0.1")
		disturb("blocked", 20*time.Millisecond, s.network.open, s.network.shut, "10.0.0.2")
		s.sleep(time.Second)
		s.step(protocol.StepFinish)

		samples, said := s.exit()
		if len(samples) != 3 || said != 3 {
			t.Fatalf("%d samples, %d said; want 3", len(samples), said)
		}
		kinds := map[string]measure.Kind{
			"allowed": measure.KindAllowed, "blocked": measure.KindBlocked,
			"never": measure.KindAllowed,
		}
		for _, sample := range samples {
			uid := sample.Target.Pod.UID
			if sample.Kind != kinds[uid] {
				t.Errorf("%s is of kind %s; want %s", uid, sample.Kind, kinds[uid])
			}
			if uid == "never" {
				if sample.Status != measure.Invalid || sample.Cause != measure.NeverAllowed {
					t.Errorf("%s is %s (%s); want invalid", uid, sample.Status, sample.Reason)
				}
				continue
			}
			breaches := sample.Watched.Breaches
			if sample.Status != measure.Measured || breaches.Count != 1 ||
				sample.Watched.Unknown.Count != 0 {
				t.Fatalf("%s is %s, with %+v; want one breach", uid, sample.Status, sample.Watched)
			}
			for i, bracket := range []measure.Bracket{breaches.List[0].Began,
				breaches.List[0].Ended} {
				if !bracket.Contains(instants[uid][i]) {
					t.Errorf("%s: %v does not contain %v", uid, bracket, instants[uid][i])
				}
				if bracket.Width() > 20*time.Millisecond {
					t.Errorf("%s: %v is %s wide", uid, bracket, bracket.Width())
				}
			}
		}
		if !s.network.triggered.IsZero() {
			t.Error("the pairs were probed at the pace of a trigger; want one all the time")
		}
	})
}
