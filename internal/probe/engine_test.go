// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/need"
)

// recorder keeps the outcomes of a pair until it has as many as wanted.
type recorder struct {
	want     int
	outcomes []measure.Outcome
	overdue  []int
	stopped  chan struct{}
}

func newRecorder(want int) *recorder { return &recorder{want: want, stopped: make(chan struct{})} }

// OnOutcome implements [Observer].
func (r *recorder) OnOutcome(o measure.Outcome) bool {
	r.outcomes = append(r.outcomes, o)
	return len(r.outcomes) == r.want
}

// OnOverdue implements [Observer].
func (r *recorder) OnOverdue(probes int, _ time.Time) { r.overdue = append(r.overdue, probes) }

// OnStopped implements [Observer].
func (r *recorder) OnStopped() { close(r.stopped) }

// startEngine runs an engine until the test ends. A mode that this machine does not have skips the
// test, and says so.
func startEngine(t testing.TB, mode Mode, schedule Schedule, timeout time.Duration) *Engine {
	t.Helper()
	engine, err := New(Config{Mode: mode, Schedule: schedule, Timeout: timeout})
	need.Machine(t, err, "run the tests as root, or use another mode")
	t.Cleanup(func() { check(t, engine.Close()) })
	return engine
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// fast is a schedule for tests.
func fast() Schedule {
	return Schedule{BaseInterval: 5 * time.Millisecond, MinInterval: time.Millisecond,
		RelativeStep: 0.01, MaxRate: 5000}
}

// TestVerdicts sends probes of every mode to addresses that are open, closed and silent, on a real
// network stack.
func TestVerdicts(t *testing.T) {
	mute := func(connection net.Conn) {
		var buffer [1]byte
		_, _ = connection.Read(buffer[:]) // until the other end is tired of waiting
	}
	gibberish := func(connection net.Conn) {
		_, _ = connection.Write([]byte("220 mail.example ESMTP\r\n"))
	}
	tests := []struct {
		name     string
		mode     Mode
		to       netip.AddrPort
		want     measure.Verdict
		response int
	}{
		{"connect open", Connect, serve(t, mute), measure.Allowed, 0},
		{"connect closed", Connect, closed(t), measure.Refused, 0},
		{"connect silent", Connect, silent(t), measure.Dropped, 0},
		{"connect open IPv6", Connect, serveOn(t, "[::1]:0", mute), measure.Allowed, 0},
		{"connect without a route", Connect, netip.MustParseAddrPort("224.0.0.1:80"),
			measure.Unreachable, 0},
		{"http answers 403", HTTP, serve(t, respond), measure.Allowed, 403},
		{"http answers 403 IPv6", HTTP, serveOn(t, "[::1]:0", respond), measure.Allowed, 403},
		{"http closed", HTTP, closed(t), measure.Refused, 0},
		{"http silent", HTTP, silent(t), measure.Dropped, 0},
		{"http hears gibberish", HTTP, serve(t, gibberish), measure.Unanswered, 0},
		{"http is hung up on", HTTP, serve(t, func(net.Conn) {}), measure.Unanswered, 0},
		{"udp echo", UDP, echo(t, "127.0.0.1:0"), measure.Allowed, 0},
		{"udp echo IPv6", UDP, echo(t, "[::1]:0"), measure.Allowed, 0},
		{"udp closed", UDP, closed(t), measure.Refused, 0},
		{"udp silent", UDP, deaf(t), measure.Dropped, 0},
		{"syn open", SYN, serve(t, mute), measure.Allowed, 0},
		{"syn closed", SYN, closed(t), measure.Refused, 0},
		{"syn silent", SYN, silent(t), measure.Dropped, 0},
		{"syn open IPv6", SYN, serveOn(t, "[::1]:0", mute), measure.Allowed, 0},
		{"syn closed IPv6", SYN, netip.MustParseAddrPort("[::1]:1"), measure.Refused, 0},
		{"established closed", Established, closed(t), measure.Ambiguous, 0},
		{"sctp closed", SCTP, closed(t), measure.Refused, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			engine := startEngine(t, test.mode, fast(), 300*time.Millisecond)
			r := newRecorder(5)
			engine.Add(test.to, r)
			<-r.stopped
			for i, o := range r.outcomes {
				if o.Verdict != test.want || o.Response != test.response {
					t.Errorf("probe %d: %s, response %d, %v; want %s, %d", i, o.Verdict, o.Response,
						o.Err, test.want, test.response)
				}
				if o.SentBy.Before(o.Sent) || o.Done.Before(o.Sent) || o.Sent.Before(o.Planned) {
					t.Errorf("probe %d: planned %v, sent %v, by %v, done %v: out of order", i,
						o.Planned, o.Sent, o.SentBy, o.Done)
				}
			}
			if !slices.IsSortedFunc(r.outcomes, func(a, b measure.Outcome) int {
				return a.Sent.Compare(b.Sent)
			}) {
				t.Error("the outcomes came in another order than the probes were sent in")
			}
		})
	}
}

// TestStop ends a pair while its probes are in flight: the observer hears of all of them, and then
// of the end.
func TestStop(t *testing.T) {
	for _, mode := range []Mode{Connect, HTTP, UDP, SYN} {
		t.Run(string(mode), func(t *testing.T) {
			const timeout = 900 * time.Millisecond
			engine := startEngine(t, mode, fast(), timeout)
			to := silent(t)
			if mode == UDP {
				to = deaf(t)
			}
			r := newRecorder(-1)
			pair := engine.Add(to, r)
			pair.Trigger(time.Now())
			for engine.Stats().Sent < 20 {
				time.Sleep(time.Millisecond)
			}
			began := time.Now()
			pair.Stop()
			pair.Stop() // once more does nothing
			<-r.stopped
			if took := time.Since(began); took > timeout/2 {
				t.Errorf("it took %s to stop; want less than the %s of a probe", took, timeout)
			}
			if len(r.outcomes) < 20 {
				t.Errorf("got %d outcomes; want at least the 20 that were sent", len(r.outcomes))
			}
			for i, o := range r.outcomes {
				if o.Verdict != measure.Ambiguous {
					t.Errorf("probe %d was cut short and is %s; want ambiguous", i, o.Verdict)
				}
			}
		})
	}
}

// TestCloseLeavesNothing closes engines in the middle of their work, and counts descriptors.
func TestCloseLeavesNothing(t *testing.T) {
	to := silent(t)
	// The first engine has the runtime open what it keeps.
	for _, mode := range []Mode{Connect, Connect, HTTP, UDP, SYN, Established} {
		before := descriptors(t)
		engine, err := New(Config{Mode: mode, Schedule: fast(), Timeout: 500 * time.Millisecond})
		if err != nil {
			t.Logf("mode %s is not tested: %v", mode, err)
			continue
		}
		r := newRecorder(-1)
		engine.Add(to, r).Trigger(time.Now())
		for engine.Stats().Sent < 10 {
			time.Sleep(time.Millisecond)
		}
		check(t, engine.Close())
		<-r.stopped
		if after := descriptors(t); after != before {
			t.Errorf("mode %s: %d descriptors are open; there were %d", mode, after, before)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	return len(entries)
}

// TestDescriptorLimit never runs out of descriptors: the schedule is fitted to the limit, and says
// so.
func TestDescriptorLimit(t *testing.T) {
	var old unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	small := unix.Rlimit{Cur: 200, Max: old.Max}
	engine := &Engine{schedule: Schedule{BaseInterval: time.Millisecond,
		MinInterval: time.Millisecond, MaxRate: 1e6}}
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &small))
	check(t, engine.fit(500*time.Millisecond))
	var now unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &now))
	if now.Cur != old.Max {
		t.Errorf("the limit is %d; want it raised to the hard limit %d", now.Cur, old.Max)
	}
	if len(engine.Warnings) != 1 || engine.schedule.MaxRate > float64(old.Max)/0.5 {
		t.Errorf("rate %v, warnings %q: want a warning and a rate that %d descriptors permit",
			engine.schedule.MaxRate, engine.Warnings, old.Max)
	}
}

func TestAuto(t *testing.T) {
	engine := startEngine(t, Auto, fast(), 100*time.Millisecond)
	t.Logf("auto is %s: %s", engine.Mode, engine.Reason)
	if engine.Mode != SYN && engine.Mode != Connect {
		t.Errorf("auto chose %q", engine.Mode)
	}
	if engine.Reason == "" {
		t.Error("auto does not say why")
	}
}

func TestNewRejects(t *testing.T) {
	good := Config{Mode: Connect, Schedule: fast(), Timeout: time.Millisecond}
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"a time-out of a second", func(c *Config) { c.Timeout = time.Second }, "less than 1s"},
		{"no time-out", func(c *Config) { c.Timeout = 0 }, "more than 0"},
		{"an unknown mode", func(c *Config) {
			c.Mode = "ping"
		}, `"ping": expected one of auto, connect, http, udp, sctp, syn, established`},
		{"no base interval", func(c *Config) { c.Schedule.BaseInterval = 0 }, "1ms or more"},
		{"a negative rate", func(c *Config) {
			c.Schedule.MaxRate = -1
		}, "more than 0 probes a second"},
		{"a negative resolution", func(c *Config) { c.Schedule.RelativeStep = -1 }, "0 to 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := good
			test.change(&config)
			if _, err := New(config); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want an error with %q", err, test.want)
			}
		})
	}
}

// TestEstablished asks on one connection for as long as it lives: a server that ends it in order is
// connected to again, one that resets it has cut it.
func TestEstablished(t *testing.T) {
	var connections, requests atomic.Int64
	to := serve(t, func(connection net.Conn) {
		connections.Add(1)
		for lines := bufio.NewScanner(connection); lines.Scan(); {
			if lines.Text() != "" {
				continue
			}
			switch requests.Add(1) {
			case 5:
				return
			case 15:
				check(t, connection.(*net.TCPConn).SetLinger(0))
				return
			}
			_, _ = connection.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"))
		}
	})
	engine := startEngine(t, Established, fast(), 100*time.Millisecond)
	r := newRecorder(40)
	engine.Add(to, r)
	<-r.stopped
	var count [measure.VerdictCount]int
	for _, o := range r.outcomes {
		count[o.Verdict]++
	}
	if got := connections.Load(); got != 2 {
		t.Errorf("there were %d connections; want 2: one that the server ended, and one that was "+
			"cut", got)
	}
	if last := r.outcomes[len(r.outcomes)-1]; last.Verdict != measure.Refused {
		t.Errorf("the last probe is %s; want refused, as its connection was cut", last.Verdict)
	}
	if count[measure.Allowed] != 13 {
		t.Errorf("%d probes were allowed; want the 13 that were answered: %v",
			count[measure.Allowed], count)
	}
}

// TestEstablishedReadsBeforeReset leaves an answer unread until the connection was reset: it had
// arrived, and counts.
func TestEstablishedReadsBeforeReset(t *testing.T) {
	reset := make(chan struct{})
	to := serve(t, func(connection net.Conn) {
		defer close(reset)
		lines := bufio.NewScanner(connection)
		for lines.Scan() && lines.Text() != "" {
			continue // the header, up to the empty line
		}
		_, _ = connection.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"))
		check(t, connection.(*net.TCPConn).SetLinger(0))
		check(t, connection.Close())
	})
	w, p, r := lone(t, Established, to, 2) // the first probe only opens the connection
	launch(t, w, p)
	for p.state.(*connection).state != connected {
		w.await()
	}
	launch(t, w, p)
	<-reset
	w.await()
	<-r.stopped
	if got := r.outcomes[1].Verdict; got != measure.Allowed {
		t.Errorf("the probe that was answered before the reset is %s; want allowed", got)
	}
}

// TestReadsBeforeReset leaves what a server did unread until it has reset the connection: the
// connection had opened, and what was answered had arrived, however late it is looked at.
func TestReadsBeforeReset(t *testing.T) {
	answer := func(connection net.Conn) {
		_, _ = connection.Write([]byte("HTTP/1.1 403 Forbidden\r\n\r\n"))
	}
	ask := func(connection net.Conn) {
		var request [1024]byte
		_, err := connection.Read(request[:])
		check(t, err)
	}
	tests := []struct {
		name     string
		mode     Mode
		treat    []func(net.Conn)
		waits    bool // for the request before the connection is reset
		want     measure.Verdict
		response int
	}{
		{"connect", Connect, nil, false, measure.Allowed, 0},
		{"http answered", HTTP, []func(net.Conn){ask, answer}, true, measure.Allowed, 403},
		{"http answered before it asked", HTTP, []func(net.Conn){answer}, false, measure.Allowed,
			403},
		{"http not answered", HTTP, []func(net.Conn){ask}, true, measure.Unanswered, 0},
		{"http not even asked", HTTP, nil, false, measure.Unanswered, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reset := make(chan struct{})
			to := serve(t, func(connection net.Conn) {
				defer close(reset)
				for _, step := range test.treat {
					step(connection)
				}
				check(t, connection.(*net.TCPConn).SetLinger(0))
				check(t, connection.Close())
			})
			w, p, r := lone(t, test.mode, to, 1)
			launch(t, w, p)
			for test.waits && w.table.entries[p.first].phase == launched {
				w.await()
			}
			<-reset
			w.await()
			<-r.stopped
			if got := r.outcomes[0]; got.Verdict != test.want || got.Response != test.response {
				t.Errorf("got %s, response %d, %v; want %s, %d", got.Verdict, got.Response, got.Err,
					test.want, test.response)
			}
		})
	}
}

// TestRefusedWhileRead has a datagram be refused after the event that is being dealt with: reading
// takes the error from the socket, and it is not told again.
func TestRefusedWhileRead(t *testing.T) {
	w, p, r := lone(t, UDP, closed(t), 1)
	launch(t, w, p)
	s := &w.table.entries[p.first]
	w.evaluate(w.prober.ready(s.fd, unix.EPOLLIN, nil))
	if len(r.outcomes) != 1 || r.outcomes[0].Verdict != measure.Refused {
		t.Errorf("got %v; want one that was refused", r.outcomes)
	}
}

// lone is a worker that the test itself runs, and a pair of its whose schedule has nothing due.
func lone(t *testing.T, mode Mode, to netip.AddrPort, want int) (*worker, *pair, *recorder) {
	t.Helper()
	schedule := Schedule{BaseInterval: time.Hour, MinInterval: time.Hour, MaxRate: 1000}
	wait := timeouts{opening: 500 * time.Millisecond, response: time.Second}
	space, err := newWorkspace(inFlight(schedule, wait.opening))
	check(t, err)
	prober, err := newProber(mode, space, 10)
	if err != nil {
		check(t, space.poller.close())
		need.Machine(t, err, "run the tests as root")
	}
	w := newWorker(mode, prober, space, schedule, wait)
	r := newRecorder(want)
	p := newPair(to, r, 0)
	w.add(&p)
	t.Cleanup(func() {
		w.quitting = true
		w.run()
		check(t, w.closed)
	})
	return w, &p, r
}

// launch sends a probe of a pair.
func launch(t *testing.T, w *worker, p *pair) {
	t.Helper()
	i, ok := w.take(p, w.clock.now())
	if !ok {
		t.Fatal("there is no room for a probe")
	}
	w.launch([]int32{i})
}
