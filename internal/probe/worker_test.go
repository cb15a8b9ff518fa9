// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// shuffled is a prober whose probes end in any order, some never, and some are told twice.
type shuffled struct {
	*workspace
	random *rand.Rand
	flying []timer
	sent   int
}

func (m *shuffled) add(*pair)                                        {}
func (m *shuffled) remove(*pair)                                     {}
func (m *shuffled) ready(_ int32, _ uint32, replies []reply) []reply { return replies }
func (m *shuffled) release(*entry)                                   {}
func (m *shuffled) pollInterval() time.Duration                      { return time.Millisecond }
func (m *shuffled) close() error                                     { return nil }

func (m *shuffled) launch(batch []int32, replies []reply) []reply {
	for _, i := range batch {
		e := &m.table.entries[i]
		m.sent++
		e.sent, e.sentBy = instant(m.sent), instant(m.sent)
		m.flying = append(m.flying, timer{entry: i, use: e.use})
	}
	return replies
}

func (m *shuffled) poll(replies []reply) []reply {
	for range m.random.IntN(30) {
		if len(m.flying) == 0 {
			return replies
		}
		t := m.flying[m.random.IntN(len(m.flying))]
		if m.table.runs(t) {
			verdict := measure.Verdict(m.random.IntN(measure.VerdictCount))
			replies = append(replies,
				reply{entry: t.entry, verdict: verdict, at: m.clock.now(),
					err: errors.New("by chance")})
		}
	}
	return replies
}

// fakeWorker is a worker with a fake prober, which shares its workspace.
func fakeWorker(
	t *testing.T, fake prober, space **workspace, schedule Schedule, timeout time.Duration,
) *worker {
	t.Helper()
	var err error
	if *space, err = newWorkspace(inFlight(schedule, timeout)); err != nil {
		t.Fatal(err)
	}
	return newWorker(Connect, fake, *space, schedule, timeouts{timeout, time.Second})
}

// startFake runs an engine with a fake prober.
func startFake(
	t *testing.T, fake prober, space **workspace, schedule Schedule, timeout time.Duration,
) *Engine {
	t.Helper()
	engine := &Engine{worker: fakeWorker(t, fake, space, schedule, timeout)}
	go engine.worker.run()
	return engine
}

// TestOrder lets probes of many pairs end in any order: each observer is told of each of its probes
// once, in the order of their sends, and every entry is free at the end.
func TestOrder(t *testing.T) {
	prober := &shuffled{random: rand.New(rand.NewPCG(3, 4))}
	schedule := Schedule{BaseInterval: time.Millisecond, MinInterval: time.Millisecond,
		MaxRate: 20_000}
	engine := startFake(t, prober, &prober.workspace, schedule, 20*time.Millisecond)
	const pairs, probes = 20, 100
	for number, r := range addPairs(engine, pairs, probes) {
		<-r.stopped
		for i := range probes - 1 {
			if !r.outcomes[i].Sent.Before(r.outcomes[i+1].Sent) {
				t.Fatalf("pair %d: outcome %d was sent at %v, the next at %v", number, i,
					r.outcomes[i].Sent, r.outcomes[i+1].Sent)
			}
		}
	}
	check(t, engine.Close())
	if free := len(prober.table.free); free != len(prober.table.entries) {
		t.Errorf("%d of %d entries are free at the end", free, len(prober.table.entries))
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

// TestFullTable has entries for a tenth of the pairs only: no more probes are sent than there are
// entries, those that are not sent are counted, and still no pair starves.
func TestFullTable(t *testing.T) {
	const pairs, entries, probes = 100, 10, 3
	schedule := Schedule{BaseInterval: 10 * time.Millisecond, MinInterval: time.Millisecond,
		MaxRate: 10_000}
	prober := &unanswered{}
	w := fakeWorker(t, prober, &prober.workspace, schedule, 10*time.Millisecond)
	w.table = newInFlightTable(entries)
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

// TestBaseIntervalSpreads adds a thousand pairs at once: however early each was added, their probes
// are spread evenly over the base interval that a thousand pairs have.
func TestBaseIntervalSpreads(t *testing.T) {
	const pairs = 1000
	schedule := Schedule{BaseInterval: time.Millisecond, MinInterval: time.Millisecond,
		MaxRate: 5000}
	prober := &unanswered{}
	w := fakeWorker(t, prober, &prober.workspace, schedule, 10*time.Millisecond)
	for number := range pairs {
		p := newPair(netip.MustParseAddrPort("10.0.0.1:80"), newRecorder(-1), number)
		w.add(&p)
	}
	base := schedule.Before(pairs)
	for _, e := range w.due {
		p := e.pair
		p.interval = base / 2 // as when it was added
		p.due = w.nextDue(p, schedule, 0, true)
	}
	counts := make([]int, 10)
	for _, e := range w.due {
		counts[min(int(10*time.Duration(e.pair.due)/base), 9)]++
	}
	for part, count := range counts {
		if count < pairs/20 || count > pairs/5 {
			t.Errorf("part %d of the base interval has %d of %d pairs: %v", part, count, pairs,
				counts)
		}
	}
}

// unanswered never gets an answer.
type unanswered struct{ shuffled }

func (m *unanswered) poll(replies []reply) []reply { return replies }

// TestSendAfterEnd sends two probes of a pair in one batch, of which the first is answered before
// the second leaves, and is all that the pair needs.
func TestSendAfterEnd(t *testing.T) {
	to := serve(t, func(net.Conn) {})
	for _, mode := range []Mode{Connect, Established, SYN} {
		t.Run(string(mode), func(t *testing.T) {
			w, p, r := lone(t, mode, to, 1)
			first, _ := w.take(p, w.clock.now())
			second, _ := w.take(p, w.clock.now())
			w.launch([]int32{first, second})
			w.cancel(p)
			<-r.stopped
			if free := len(w.table.free); free != len(w.table.entries) {
				t.Errorf("%d of %d entries are free at the end", free, len(w.table.entries))
			}
		})
	}
}

// TestDone has a pair be done while more of its probes are in flight. Their sockets are not freed
// at once, which would hold up other pairs, but when their time is over, when they are answered, or
// with the engine. The observer is told nothing more.
func TestDone(t *testing.T) {
	tests := []struct {
		name string
		to   func(*testing.T) netip.AddrPort
		then func(*worker)
	}{
		{"time over", func(t *testing.T) netip.AddrPort { return silent(t) }, waitUntilFree},
		{"answered", func(t *testing.T) netip.AddrPort {
			return serve(t, expectNoRequest(t))
		}, waitUntilFree},
		{"closed", func(t *testing.T) netip.AddrPort { return silent(t) }, func(w *worker) {
			w.commands.put(command{do: quit})
			w.drainCommands()
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
			if free, want := len(w.table.free), len(w.table.entries)-2; free != want {
				t.Errorf("%d entries are free when the pair is done; want %d", free, want)
			}
			test.then(w)
			if free := len(w.table.free); free != len(w.table.entries) {
				t.Errorf("%d of %d entries are free at the end", free, len(w.table.entries))
			}
			if len(r.outcomes) != 1 {
				t.Errorf("the observer heard of %d probes; want the one that it needed",
					len(r.outcomes))
			}
		})
	}
}

// TestAnsweredWhileHalted lets the time of answered probes be over before the worker looks, as when
// its process stands still: they were answered all the same, more of them than the poller, or a
// raw socket, tells of at once.
func TestAnsweredWhileHalted(t *testing.T) {
	const probes = 400
	answers := make(chan struct{}, probes)
	keepOpen := func(connection net.Conn) {
		for lines := bufio.NewScanner(connection); lines.Scan(); {
			if lines.Text() == "" {
				_, _ = connection.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"))
				answers <- struct{}{}
			}
		}
	}
	tests := []struct {
		mode Mode
		to   netip.AddrPort
		says bool // when it has answered; a connection is open at once
	}{
		{Connect, serve(t, func(net.Conn) {}), false},
		{HTTP, serve(t, respond), false},
		{SYN, serve(t, func(net.Conn) {}), false},
		{UDP, echoTo(t, "127.0.0.1:0", func(net.Addr) { answers <- struct{}{} }), true},
		{Established, serve(t, keepOpen), true},
	}
	for _, test := range tests {
		t.Run(string(test.mode), func(t *testing.T) {
			w, p, r := lone(t, test.mode, test.to, -1)
			if test.mode == Established { // the first probe only opens the connection
				launch(t, w, p)
				for p.state.(*connection).state != connected {
					w.await()
				}
				r.outcomes = nil
			}
			for range probes {
				launch(t, w, p)
				if test.says {
					<-answers
				}
			}
			w.clock.epoch = w.clock.epoch.Add(-time.Hour)
			w.pollReplies()

			for test.mode == HTTP && len(r.outcomes) < probes { // each still waits for its response
				w.takeEvents(-1)
			}
			if len(r.outcomes) != probes {
				t.Fatalf("%d of %d probes have an outcome", len(r.outcomes), probes)
			}
			for i, outcome := range r.outcomes {
				if outcome.Verdict != measure.Allowed {
					t.Fatalf("probe %d, which was answered, is %s (%v)", i, outcome.Verdict,
						outcome.Err)
				}
			}
		})
	}
}

// TestLostAnswers has no room for the answers to most of the probes that are sent while the worker
// does not look: nobody knows then that the network dropped them. Of later ones it is known again.
func TestLostAnswers(t *testing.T) {
	const probes = 400
	w, p, r := lone(t, SYN, serve(t, func(net.Conn) {}), -1)
	socket := w.prober.(*syn).tcp[packet.IPv4]
	check(t, unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUF, 1))
	for range probes {
		launch(t, w, p)
	}
	w.clock.epoch = w.clock.epoch.Add(-time.Hour)
	w.pollReplies()

	counts := make(map[measure.Verdict]int)
	for _, outcome := range r.outcomes {
		counts[outcome.Verdict]++
	}
	if allowed := counts[measure.Allowed]; allowed == 0 || allowed == probes ||
		counts[measure.Ambiguous] != probes-allowed {
		t.Errorf("the probes ended as %v; want some allowed, and of the rest nothing known", counts)
	}

	other := newPair(silent(t), newRecorder(-1), 1)
	w.add(&other)
	launch(t, w, &other)
	w.clock.epoch = w.clock.epoch.Add(-time.Hour)
	w.pollReplies()
	last := other.observer.(*recorder).outcomes
	if len(last) != 1 || last[0].Verdict != measure.Dropped {
		t.Errorf("a probe without an answer, when there was room, ended as %v; want dropped", last)
	}
}

// waitUntilFree lets a worker do what is due until no probe is in flight.
func waitUntilFree(w *worker) {
	for len(w.table.free) < len(w.table.entries) {
		w.await()
		w.pollReplies()
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
