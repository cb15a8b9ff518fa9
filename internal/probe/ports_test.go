// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// seenPorts are the source ports of the probes that a server has seen.
type seenPorts struct {
	mu   sync.Mutex
	uses map[int]int
}

func (s *seenPorts) add(from net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, port, _ := net.SplitHostPort(from.String())
	number, _ := net.LookupPort("tcp", port)
	s.uses[number]++
}

// repeated counts the ports that were used more than once.
func (s *seenPorts) repeated() (repeated, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, uses := range s.uses {
		if uses > 1 {
			repeated++
		}
	}
	return repeated, len(s.uses)
}

// TestSourcePortsAreNotUsedAgain probes one target by pairs beside each other and after each other,
// as successive plans do: connection tracking knows none of the flows from before.
func TestSourcePortsAreNotUsedAgain(t *testing.T) {
	const probes, pairs, plans = 400, 2, 3
	tests := []struct {
		mode Mode
		old  bool // as on a kernel that knows no ranges of ports for a socket
	}{{Connect, false}, {Connect, true}, {HTTP, false}, {UDP, false}}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s/%t", test.mode, test.old), func(t *testing.T) {
			seen := &seenPorts{uses: make(map[int]int)}
			var to netip.AddrPort
			switch test.mode {
			case UDP:
				to = echoTo(t, "127.0.0.1:0", seen.add)
			default:
				to = serve(t, func(connection net.Conn) {
					seen.add(connection.RemoteAddr())
					respond(connection)
				})
			}
			engine := startEngine(t, test.mode, Schedule{BaseInterval: time.Millisecond,
				MinInterval: time.Millisecond, MaxRate: 5000}, 200*time.Millisecond)
			if test.old { // nothing is probed yet
				m := engine.worker.prober.(*sockets)
				m.ports.Narrow, m.pool = false, nil
			}

			for range plans {
				var recorders [pairs]*recorder
				for i := range recorders {
					recorders[i] = newRecorder(probes)
					engine.Add(to, recorders[i])
				}
				for _, r := range recorders {
					<-r.stopped
				}
			}
			repeated, all := seen.repeated()
			if repeated > 0 || all < probes*pairs*plans/2 {
				t.Errorf("%d of %d source ports were used more than once; want none", repeated, all)
			}
		})
	}
}

// TestPortsRest plays, by virtual time, a target that is probed as fast as its ports permit: no
// port of any mode is used again before it has rested, half of them are there at once, and after
// that the probes leave at a steady pace.
func TestPortsRest(t *testing.T) {
	for _, mode := range []Mode{Connect, HTTP, UDP, SCTP, SYN} {
		t.Run(string(mode), func(t *testing.T) {
			p := newPorts(portsOf(mode))
			used := make(map[uint16]instant)
			steady := time.Duration(2 * float64(p.rest) / float64(p.count))
			now := instant(0)
			for sent := range 4 * p.count {
				wait := p.wait(now)
				if sent < p.count/2-maxPortTries && wait > 0 || wait > steady+time.Microsecond {
					t.Fatalf("probe %d waits for %s; want none before %d, and at most %s", sent,
						wait, p.count/2-maxPortTries, steady)
				}
				now += instant(wait)
				port, _ := p.take(now)
				if port < p.first || int(port) >= int(p.first)+p.count {
					t.Fatalf("port %d is not one of %d from %d on", port, p.count, p.first)
				}
				if before, is := used[port]; is && now.since(before) < p.rest {
					t.Fatalf("probe %d has a port that was used %s before; want %s", sent,
						now.since(before), p.rest)
				}
				used[port] = now
				now += instant(10 * time.Microsecond)
			}
		})
	}
}

// answered is a prober that notes from where its probes leave, and answers them at once.
type answered struct {
	shuffled
	used  map[netip.AddrPort]map[uint16]instant
	again time.Duration // the shortest time after which a port was used again
}

func (m *answered) poll(replies []reply) []reply { return replies }

func (m *answered) launch(batch []int32, replies []reply) []reply {
	for _, i := range batch {
		e := &m.table.entries[i]
		e.sent = m.clock.now()
		e.sentBy = e.sent
		ports := m.used[e.pair.to]
		if ports == nil {
			ports = make(map[uint16]instant)
			m.used[e.pair.to] = ports
		}
		if before, is := ports[e.port]; is {
			m.again = min(m.again, e.sent.since(before))
		}
		ports[e.port] = e.sent
		replies = append(replies, reply{entry: i, verdict: measure.Allowed, at: e.sent})
	}
	return replies
}

// TestPortsRunShort probes a target from few ports by two pairs, before and after their triggers,
// and by those of a second plan: the interval stretches, whose outcomes say so, and no port is used
// again before it has rested. Another target is not held up.
func TestPortsRunShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		few := portRange{first: 40_000, count: 2000, rest: 4 * time.Second}
		prober := &answered{used: make(map[netip.AddrPort]map[uint16]instant), again: time.Hour}
		schedule := Schedule{BaseInterval: 5 * time.Millisecond, MinInterval: time.Millisecond,
			RelativeStep: 0.01, MaxRate: 5000}
		w := fakeWorker(t, prober, &prober.workspace, schedule, 100*time.Millisecond)
		w.ports = newSourcePorts(few)
		run := func(whole time.Duration) {
			for range whole / time.Millisecond {
				time.Sleep(time.Millisecond)
				w.pollReplies()
				w.launchDue()
			}
		}

		crowded := netip.MustParseAddrPort("10.0.0.1:80")
		other := netip.MustParseAddrPort("10.0.0.2:80")
		deferred := make(map[netip.AddrPort]int)
		for range 3 {
			var all []*recorder
			var pairs []*pair
			for number, to := range []netip.AddrPort{crowded, crowded, other} {
				r := newRecorder(-1)
				p := newPair(to, r, number)
				w.add(&p)
				all, pairs = append(all, r), append(pairs, &p)
			}
			run(time.Second)
			for _, p := range pairs[:2] {
				w.trigger(p, w.clock.now())
			}
			run(3 * time.Second)
			for i, p := range pairs {
				w.cancel(p)
				if count := len(all[i].outcomes); count < 400 {
					t.Errorf("a pair had %d probes; want 400 or more", count)
				}
				for _, outcome := range all[i].outcomes {
					if outcome.Deferred {
						deferred[p.to]++
					}
				}
			}
		}
		if deferred[other] > 0 || deferred[crowded] == 0 {
			t.Errorf("of the target with two pairs %d probes were deferred, and of the other %d; "+
				"want some, and none", deferred[crowded], deferred[other])
		}
		if prober.again < few.rest {
			t.Errorf("a port was used again after %s; want %s or more", prober.again, few.rest)
		}
		if len(prober.used[crowded]) != few.count {
			t.Errorf("%d of %d ports were used", len(prober.used[crowded]), few.count)
		}

		time.Sleep(2 * few.rest)
		w.ports.sweepAt = 0
		if w.ports.sweep(w.clock.now()); len(w.ports.byTarget) > 0 {
			t.Errorf("the ports of %d targets are kept though they have rested",
				len(w.ports.byTarget))
		}
		check(t, w.poller.close())
	})
}
