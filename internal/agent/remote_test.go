// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// stand is an agent with the plans and the pods that it is told of, under virtual time.
type stand struct {
	t       *testing.T
	network network
	plans   chan measure.Event
	pods    chan measure.Event
	output  transcript
	cancel  context.CancelFunc
	ended   chan error
	plan    protocol.Plan
	lines   []protocol.Line // what it wrote, once it has ended
	ahead   atomic.Int64    // by how much the wall clock was set, in nanoseconds
}

// transcript is what an agent has written, which may be looked at while it writes.
type transcript struct {
	mu   sync.Mutex
	text []byte
}

func (w *transcript) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text...)
	return len(text), nil
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

func newStand(t *testing.T) *stand {
	return newStandOf(t, RemoteConfig{Agents: 1}, nil)
}

func newStandOf(t *testing.T, config RemoteConfig, read reader) *stand {
	s := &stand{
		t:     t,
		plans: make(chan measure.Event),
		pods:  make(chan measure.Event),
		ended: make(chan error, 1),
	}
	home := config.ClientNamespace
	config.Config = DefaultConfig()
	config.ClientNamespace, config.Hold = home, 100*time.Millisecond
	r := newRemote(config, &s.network, &s.output)
	r.read = read
	r.scale.wall = func(now time.Time) time.Time {
		return now.Add(time.Duration(s.ahead.Load()))
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	t.Cleanup(s.cancel)
	go func() { s.ended <- r.run(ctx, s.plans, s.pods) }()
	return s
}

// pod tells of a target.
func (s *stand) pod(uid, group, address string) {
	s.pods <- measure.Event{
		Type: measure.EventAdded, Object: measure.Object{Namespace: "targets", Name: uid, UID: uid},
		Arrived:   time.Now(),
		Addresses: []netip.Addr{netip.MustParseAddr(address)},
		Labels:    map[string]string{protocol.GroupLabel: group}, Node: "node-1",
	}
	synctest.Wait()
}

// step gives the agent the next plan.
func (s *stand) step(step protocol.Step, expect ...protocol.Expect) {
	if step == protocol.StepProve {
		s.plan.Iteration++
		s.plan.Expect = expect
	}
	s.plan.Step, s.plan.Scenario = step, "test"
	s.plan.Ping++
	s.plans <- measure.Event{
		Type: measure.EventUpdated, Arrived: time.Now(),
		Data: map[string]string{protocol.PlanName: s.plan.String()},
	}
	synctest.Wait()
}

func (s *stand) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// evict ends the agent as its node does, and returns its samples.
func (s *stand) evict() (samples []measure.Sample) {
	s.t.Helper()
	s.cancel()
	if err := <-s.ended; !errors.Is(err, errEvicted) {
		s.t.Errorf("the agent ended with %v: nothing would come in its place", err)
	}
	samples, _ = s.written()
	return samples
}

// exit ends the agent, and returns its samples and how many it said that it had in its newest
// iteration.
func (s *stand) exit() (samples []measure.Sample, said int) {
	s.t.Helper()
	s.step(protocol.StepExit)
	if err := <-s.ended; err != nil {
		s.t.Fatal(err)
	}
	return s.written()
}

// written reads what the agent has written, once it has ended.
func (s *stand) written() (samples []measure.Sample, said int) {
	s.t.Helper()
	decoder := json.NewDecoder(strings.NewReader(s.output.String()))
	for number := 1; decoder.More(); number++ {
		var line protocol.Line
		if err := decoder.Decode(&line); err != nil {
			s.t.Fatal(err)
		}
		s.lines = append(s.lines, line)
		if line.Seq != number {
			s.t.Errorf("line %d has the number %d", number, line.Seq)
		}
		if line.Sample != nil {
			sample, err := result.Unmarshal(line.Sample)
			if err != nil {
				s.t.Fatal(err)
			}
			samples = append(samples, sample)
		}
		if line.Finished != nil {
			said = line.Finished.Samples
			if got, want := line.Finished.Entries, s.network.ConntrackEntries(); got != want {
				s.t.Errorf("the agent says that it has left %d entries; want %d", got, want)
			}
		}
	}
	return samples, said
}

// A pair that is blocked at first, then allowed for a moment and blocked again, all before the
// first probe's time is over, is not proved by its beginning: it is once it has been seen blocked
// with nothing after that.
func TestRemoteRefutesTheOldState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.pod("a", "a", "10.0.0.1")
		s.step(protocol.StepProve, allowedA())
		s.sleep(53 * time.Millisecond)
		s.network.open("10.0.0.1")
		s.sleep(150 * time.Millisecond)
		s.network.shut("10.0.0.1")
		s.sleep(time.Second)
		s.step(protocol.StepTrigger)
		triggered := time.Now()
		s.network.open("10.0.0.1")
		s.sleep(time.Second)
		s.step(protocol.StepFinish)
		samples, _ := s.exit()
		if len(samples) != 1 || samples[0].Status != measure.Measured ||
			samples[0].FlapCount != 0 ||
			samples[0].Bracket.Upper.Before(triggered) {
			t.Errorf("samples %+v; want one that changed after the trigger and did not flap",
				samples)
		}
		var proved []int
		for _, line := range s.lines {
			if line.Proved != nil {
				proved = append(proved, line.Proved.Pairs)
			}
		}
		if want := []int{0, 1}; !slices.Equal(proved, want) {
			t.Errorf("the agent told of %v pairs that are proved; want %v", proved, want)
		}
	})
}

// The runner is told that a pair's replies are overdue before there is a sample, which comes once
// that is proved.
func TestRemotePresumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.network.open("10.0.0.1")
		s.pod("a", "a", "10.0.0.1")
		s.step(protocol.StepProve, protocol.Expect{Group: "a", Port: 80, Want: "blocked"})
		s.sleep(time.Second)
		s.step(protocol.StepTrigger)
		s.network.shut("10.0.0.1")
		s.sleep(time.Second)
		s.step(protocol.StepFinish)
		if samples, _ := s.exit(); len(samples) != 1 || samples[0].Status != measure.Measured {
			t.Errorf("samples %v; want one that is measured", samples)
		}
		var told []string
		for _, line := range s.lines {
			switch {
			case line.Presumed != nil:
				told = append(told, fmt.Sprint("presumed ", line.Presumed.Pairs))
			case line.Sample != nil:
				told = append(told, "sample")
			}
		}
		if want := []string{"presumed 1", "sample", "presumed 0"}; !slices.Equal(told, want) {
			t.Errorf("the agent told %q; want %q", told, want)
		}
	})
}

func allowedA() protocol.Expect { return protocol.Expect{Group: "a", Port: 80, Want: "allowed"} }

// A pair that is on its way to the old state when the iteration begins is proved once it is there;
// only what comes then is its transition.
func TestRemoteProvesTheOldState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.pod("a", "a", "10.0.0.1")
		s.network.open("10.0.0.1")
		s.step(protocol.StepProve, allowedA())
		s.sleep(100 * time.Millisecond)
		s.network.shut("10.0.0.1")
		s.sleep(time.Second)
		s.step(protocol.StepTrigger)
		opened := time.Now()
		s.network.open("10.0.0.1")
		s.sleep(time.Second)
		s.step(protocol.StepFinish)
		samples, said := s.exit()
		if len(samples) != 1 || said != 1 || samples[0].Status != measure.Measured ||
			samples[0].FlapCount != 0 {
			t.Fatalf("%d samples, %d said: %+v; want one, measured, without a flap", len(samples),
				said, samples)
		}
		if !samples[0].Bracket.Contains(opened) {
			t.Errorf("the bracket %v does not contain %v", samples[0].Bracket, opened)
		}
		if samples[0].TargetNode != "node-1" {
			t.Errorf("the target's node is %q; want node-1", samples[0].TargetNode)
		}
	})
}

// What cannot be proved is invalid, what does not change is censored, and what is forbidden is
// watched to the end, with each of its replies.
func TestRemoteAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		for uid, address := range map[string]string{"open": "10.0.0.1", "shut": "10.0.0.2"} {
			s.pod(uid, "a", address)
		}
		s.pod("forbidden", "b", "10.0.0.3")
		s.network.open("10.0.0.1")
		s.step(protocol.StepProve, allowedA(), protocol.Expect{Group: "b", Port: 80,
			Forbidden: true, Part: "other"})
		s.sleep(2 * time.Second)
		s.step(protocol.StepTrigger)
		s.network.open("10.0.0.3")
		s.sleep(20 * time.Millisecond)
		s.network.shut("10.0.0.3")
		s.sleep(2 * time.Second)
		s.pod("late", "a", "10.0.0.4")
		s.step(protocol.StepFinish)
		s.sleep(time.Second)
		want := map[string]measure.Status{
			"open": measure.Invalid, "shut": measure.Censored, "forbidden": measure.Measured,
			"late": measure.Invalid,
		}
		samples, said := s.exit()
		if len(samples) != len(want) || said != len(want) {
			t.Errorf("%d samples, %d said; want %d", len(samples), said, len(want))
		}
		for _, sample := range samples {
			if sample.Status != want[sample.Target.Pod.UID] {
				t.Errorf("%s is %s (%s); want %s", sample.Target.Pod.UID, sample.Status,
					sample.Reason, want[sample.Target.Pod.UID])
			}
			if leaks := sample.Leaks; (sample.Target.Pod.UID == "forbidden") != (leaks > 0) {
				t.Errorf("%s has %d leaks", sample.Target.Pod.UID, leaks)
			}
		}
	})
}

// An agent that is evicted has no sample of a pair that it has not finished: nobody knows what
// would have become of it.
func TestRemoteEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		for uid, address := range map[string]string{"open": "10.0.0.1", "shut": "10.0.0.2"} {
			s.pod(uid, "a", address)
		}
		s.step(protocol.StepProve, allowedA())
		s.sleep(3 * time.Second)
		s.step(protocol.StepTrigger)
		s.network.open("10.0.0.1")
		s.sleep(3 * time.Second)
		samples := s.evict()
		if len(samples) != 1 || samples[0].Target.Pod.UID != "open" ||
			samples[0].Status != measure.Measured {
			t.Errorf("the samples are %+v; want that of the pair that had changed", samples)
		}
	})
}

// Agents share the targets: each watches its own.
func TestRemoteShares(t *testing.T) {
	config := RemoteConfig{Config: DefaultConfig(), Agents: 4, Index: 3}
	config.TargetSelector = "role=target"
	if got, want := config.share(), "role=target,netpol-latency/agent=3"; got != want {
		t.Errorf("agent 3 of 4 watches %s; want %s", got, want)
	}
	config.Agents, config.Index = 1, 0
	if got := config.share(); got != "role=target" {
		t.Errorf("the only agent watches %s; want all", got)
	}
}

// A plan says among how many agents the budget of a node is shared, anew where one was replaced,
// and how much of it earlier ones have left; who has finished says the same of itself.
func TestRemoteConntrackShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		for _, part := range []struct{ share, left int }{{4, 0}, {2, 0}, {2, 1000}} {
			s.plan.Share, s.plan.Left = part.share, part.left
			s.step(protocol.StepProve, allowedA())
			want := int64(probe.ConntrackBudget(part.share, part.left))
			if got := s.network.entries.Load(); got != want || want < 2 {
				t.Errorf("of %d agents each may hold %d entries; want %d", part.share, got, want)
			}
		}
		s.exit()
	})
}

// A pod that starts ends by itself: when it has reached what is allowed, or when its time is over.
func TestStartup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network network
		network.open("10.0.0.1")
		for _, reachable := range []bool{true, false} {
			allowed := netip.MustParseAddrPort("10.0.0.1:80")
			if !reachable {
				allowed = netip.MustParseAddrPort("10.0.0.9:80")
			}
			var output bytes.Buffer
			config := StartupConfig{
				Config: DefaultConfig(), Scenario: "pod-startup", Watch: time.Second,
				Timeout: 5 * time.Second,
				Allowed: []netip.AddrPort{
					allowed,
				}, Forbidden: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:80")},
			}
			s := newStartup(config, &network, time.Now(), &output)
			if err := s.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			want, took := measure.Measured, time.Second
			if !reachable {
				want, took = measure.Censored, 5*time.Second
			}
			if got := time.Since(s.began); got < took || got > took+time.Second {
				t.Errorf("reachable %v: it took %s; want %s", reachable, got, took)
			}
			checkStartup(t, output.String(), want)
		}
	})
}

func checkStartup(t *testing.T, output string, want measure.Status) {
	t.Helper()
	statuses := make(map[string]measure.Status)
	decoder := json.NewDecoder(bytes.NewBufferString(output))
	for decoder.More() {
		var line protocol.Line
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if line.Sample != nil {
			sample, err := result.Unmarshal(line.Sample)
			if err != nil {
				t.Fatal(err)
			}
			statuses[sample.Scenario] = sample.Status
		}
	}
	if statuses["pod-startup"] != want || statuses["pod-startup/forbidden"] != measure.Measured {
		t.Errorf("the statuses are %v; want %s, and measured for the forbidden pair", statuses,
			want)
	}
}

// TestRemoteWallClockIsSet sets the wall clock an hour ahead in mid-plan: no instant that the agent
// tells moves, neither in samples nor in its answers to pings, and the samples have a warning.
func TestRemoteWallClockIsSet(t *testing.T) {
	for name, step := range map[string]time.Duration{"not": 0, "by an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStand(t)
				s.pod("a", "a", "10.0.0.1")
				s.step(protocol.StepProve, allowedA())
				s.sleep(time.Second)
				s.ahead.Store(int64(step))
				s.sleep(time.Second)
				began := time.Now()
				s.step(protocol.StepTrigger)
				s.sleep(300 * time.Millisecond)
				s.network.open("10.0.0.1")
				opened := time.Now()
				s.sleep(time.Second)
				s.step(protocol.StepFinish)
				samples, _ := s.exit()

				if len(samples) != 1 || samples[0].Status != measure.Measured ||
					!samples[0].Bracket.Contains(opened.Add(time.Millisecond)) ||
					samples[0].Ended.Sub(opened).Abs() > time.Minute {
					t.Errorf("samples %+v; want one that changed at %v", samples, opened)
				}
				if warned := slices.Contains(samples[0].Warnings,
					stepWarning); warned != (step != 0) {
					t.Errorf("warnings %q; want one of the wall clock: %t", samples[0].Warnings,
						step != 0)
				}
				for _, line := range s.lines {
					if clock := line.Clock; clock != nil && clock.Ping == 2 &&
						(!clock.Received.Equal(began) || !clock.Sent.Equal(began)) {
						t.Errorf("the ping of %v was answered with %v and %v", began,
							clock.Received, clock.Sent)
					}
				}
			})
		})
	}
}

// TestNotProvedDuringSearch tells of no proved pair while the rate of the probes is searched for:
// the trigger would be written meanwhile.
func TestNotProvedDuringSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.network.searching.Store(true)
		s.step(protocol.StepProve, protocol.Expect{Group: "a", Port: 80, Want: "allowed"})
		s.pod("u-1", "a", "10.0.0.1")
		s.sleep(2 * time.Second)
		s.network.searching.Store(false)
		before := s.output.String()
		s.sleep(time.Second)
		after, _ := strings.CutPrefix(s.output.String(), before)
		if strings.Contains(before, `"pairs":1}`) {
			t.Errorf("it says %q during the search; want no pair", before)
		}
		if !strings.Contains(after, `"proved":{"round":1,"pairs":1}`) {
			t.Errorf("it says %q once the rate is found; want one pair", after)
		}
		s.exit()
	})
}
