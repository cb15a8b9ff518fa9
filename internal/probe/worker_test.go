// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/need"
)

// shuffled is a prober whose probes end in any order, some never, and some are told twice.
type shuffled struct {
	random *rand.Rand
	flying []ticket
	sent   int
}

func (m *shuffled) prepare(*Pair)                {}
func (m *shuffled) forget(*Pair)                 {}
func (m *shuffled) ready(*worker, int32, uint32) {}
func (m *shuffled) release(*worker, *slot)       {}
func (m *shuffled) every() time.Duration         { return time.Millisecond }
func (m *shuffled) close() error                 { return nil }

func (m *shuffled) send(w *worker, slots []int32) {
	for _, i := range slots {
		s := &w.flight.slots[i]
		m.sent++
		s.sent, s.sentBy = instant(m.sent), instant(m.sent)
		m.flying = append(m.flying, ticket{slot: i, use: s.use})
	}
}

func (m *shuffled) poll(w *worker) {
	for range m.random.IntN(30) {
		if len(m.flying) == 0 {
			return
		}
		t := m.flying[m.random.IntN(len(m.flying))]
		if w.flight.holds(t) {
			w.end(t.slot, measure.Verdict(m.random.IntN(measure.VerdictCount)), w.clock.now(), errors.New("by chance"))
		}
	}
}

// TestOrder lets probes of many pairs end in any order: each follower hears of each of its probes once,
// in the order of their sends, and every slot is free at the end.
func TestOrder(t *testing.T) {
	prober := &shuffled{random: rand.New(rand.NewPCG(3, 4))}
	schedule := Schedule{Beat: time.Millisecond, Min: time.Millisecond, MaxRate: 20_000}
	w, err := newWorker(Connect, prober, schedule, 20*time.Millisecond, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	engine := &Engine{worker: w}
	go w.run()
	const pairs, probes = 20, 100
	for number, r := range addPairs(engine, pairs, probes) {
		<-r.stopped
		for i := range probes - 1 {
			if !r.outcomes[i].Sent.Before(r.outcomes[i+1].Sent) {
				t.Fatalf("pair %d: outcome %d was sent at %v, the next at %v", number, i, r.outcomes[i].Sent, r.outcomes[i+1].Sent)
			}
		}
	}
	check(t, engine.Close())
	if free := len(w.flight.free); free != len(w.flight.slots) {
		t.Errorf("%d of %d slots are free at the end", free, len(w.flight.slots))
	}
}

// addPairs has an engine probe pairs until each had that many probes.
func addPairs(engine *Engine, pairs, probes int) []*recorder {
	recorders := make([]*recorder, pairs)
	for i := range recorders {
		recorders[i] = newRecorder(probes)
		engine.Add(netip.MustParseAddrPort("10.0.0.1:80"), recorders[i])
	}
	return recorders
}

// TestFullFlight has slots for a tenth of the pairs only: no more probes are sent than there are slots,
// those that are not sent are counted, and still no pair starves.
func TestFullFlight(t *testing.T) {
	const pairs, slots, probes = 100, 10, 3
	schedule := Schedule{Beat: 10 * time.Millisecond, Min: time.Millisecond, MaxRate: 10_000}
	w, err := newWorker(Connect, &unanswered{}, schedule, 10*time.Millisecond, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	w.flight = newFlight(slots)
	engine := &Engine{worker: w}
	go w.run()
	for _, r := range addPairs(engine, pairs, probes) {
		<-r.stopped
	}
	check(t, engine.Close())
	if stats := engine.Stats(); stats.Skipped == 0 {
		t.Errorf("%+v: want probes that were skipped", stats)
	}
}

// TestBeatSpreads adds a thousand pairs at once: however early each was added, their probes are spread
// evenly over the beat that a thousand pairs have.
func TestBeatSpreads(t *testing.T) {
	const pairs = 1000
	schedule := Schedule{Beat: time.Millisecond, Min: time.Millisecond, MaxRate: 5000}
	prober := &unanswered{}
	w, err := newWorker(Connect, prober, schedule, 10*time.Millisecond, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for number := range pairs {
		w.add(newPair(netip.MustParseAddrPort("10.0.0.1:80"), newRecorder(-1), w, number))
	}
	beat := schedule.Before(pairs)
	for _, e := range w.agenda {
		p := e.pair
		p.interval = beat / 2 // as when it was added
		p.due = w.following(p, schedule, 0, true)
	}
	counts := make([]int, 10)
	for _, e := range w.agenda {
		counts[min(int(10*time.Duration(e.pair.due)/beat), 9)]++
	}
	for part, count := range counts {
		if count < pairs/20 || count > pairs/5 {
			t.Errorf("part %d of the beat has %d of %d pairs: %v", part, count, pairs, counts)
		}
	}
}

// unanswered never gets an answer.
type unanswered struct{ shuffled }

func (m *unanswered) poll(*worker) {}

// TestSendAfterEnd sends two probes of a pair in one batch, of which the first is answered before the
// second leaves, and is all that the pair needs.
func TestSendAfterEnd(t *testing.T) {
	to := serve(t, func(net.Conn) {})
	for _, mode := range []Mode{Connect, Established, SYN} {
		t.Run(string(mode), func(t *testing.T) {
			prober, err := newProber(mode, 10)
			need.Machine(t, err, "run the tests as root")
			schedule := Schedule{Beat: time.Second, Min: time.Second, MaxRate: 1000}
			w, err := newWorker(mode, prober, schedule, 100*time.Millisecond, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			r := newRecorder(1)
			p := newPair(to, r, w, 0)
			w.add(p)
			first, _ := w.launch(p, w.clock.now())
			second, _ := w.launch(p, w.clock.now())
			prober.send(w, []int32{first, second})
			w.cancel(p)
			<-r.stopped
			if free := len(w.flight.free); free != len(w.flight.slots) {
				t.Errorf("%d of %d slots are free at the end", free, len(w.flight.slots))
			}
			w.quitting = true
			w.run()
			check(t, w.closed)
		})
	}
}

// TestDone has a pair be done while more of its probes are in flight. Their sockets are not freed at once, which would hold
// up other pairs, but when their time is over, when they are answered, or with the engine. The follower hears nothing more.
func TestDone(t *testing.T) {
	tests := []struct {
		name string
		to   func(*testing.T) netip.AddrPort
		then func(*worker)
	}{
		{"time over", func(t *testing.T) netip.AddrPort { return silent(t) }, waitUntilFree},
		{"answered", func(t *testing.T) netip.AddrPort { return serve(t, expectNoRequest(t)) }, waitUntilFree},
		{"closed", func(t *testing.T) netip.AddrPort { return silent(t) }, func(w *worker) {
			w.command(order{do: quit})
			w.obey()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, p, r := lone(t, HTTP, test.to(t), 1)
			for range 3 {
				launch(t, w, p)
			}
			w.end(p.first, measure.Dropped, w.clock.now(), errTimeout)
			<-r.stopped
			if free, want := len(w.flight.free), len(w.flight.slots)-2; free != want {
				t.Errorf("%d slots are free when the pair is done; want %d", free, want)
			}
			test.then(w)
			if free := len(w.flight.free); free != len(w.flight.slots) {
				t.Errorf("%d of %d slots are free at the end", free, len(w.flight.slots))
			}
			if len(r.outcomes) != 1 {
				t.Errorf("the follower heard of %d probes; want the one that it needed", len(r.outcomes))
			}
		})
	}
}

// waitUntilFree lets a worker do what is due until no probe is in flight.
func waitUntilFree(w *worker) {
	for len(w.flight.free) < len(w.flight.slots) {
		w.await()
		w.listen()
	}
}

// expectNoRequest serves connections on which nothing is to be asked.
func expectNoRequest(t *testing.T) func(net.Conn) {
	return func(connection net.Conn) {
		var request [1]byte
		if n, _ := connection.Read(request[:]); n > 0 {
			t.Error("a request was sent for a pair that was done")
		}
	}
}
