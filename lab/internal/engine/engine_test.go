// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/netpol-latency/netpol-latency/lab/internal/socket"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// newPair is an environment with a client and a server on one node, in namespace x.
func newPair(t testing.TB) (w *environment, client, server *host) {
	w = newEnvironment(t)
	client, server = w.addPair(t)
	return w, client, server
}

func (w *environment) addPair(t testing.TB) (client, server *host) {
	w.putNamespace("x", namespaceLabels("x", "red", "prod"))
	client = w.net.addHost(t, "x/client", podIPs(1, 1)...)
	server = w.net.addHost(t, "x/server", podIPs(1, 2)...)
	w.createPod(newPod("x", "client", labelSet("app", "client"), 80, client.addresses))
	w.createPod(newPod("x", "server", labelSet("app", "server"), 80, server.addresses))
	return client, server
}

func (w *environment) pair(
	client, server string, f family, protocol corev1.Protocol, port int32,
) truth.Pair {
	from, to := w.pods[client], w.pods[server]
	pair := truth.Pair{FromUID: string(from.UID), ToUID: string(to.UID), Protocol: string(protocol),
		Port: uint16(port)}
	for _, a := range factsOfPod(to).Addresses {
		if familyOf(a) == f {
			pair.To = a
		}
	}
	return pair
}

// prober sends packets of their own connections, one after the other, and notes when.
type prober struct {
	sent []sentPacket
}

type sentPacket struct {
	at      time.Time
	arrived <-chan struct{}
}

// run sends until stop is closed. SCTP needs no socket for each connection.
func (p *prober) run(from, to *host, f family, stop <-chan struct{}) error {
	pace := time.NewTicker(500 * time.Microsecond)
	defer pace.Stop()
	for {
		at := time.Now()
		arrived, err := from.sctp[f].send(&attempt{from: from, to: to, family: f,
			protocol: corev1.ProtocolSCTP, port: 80})
		if err != nil {
			return err
		}
		p.sent = append(p.sent, sentPacket{at, arrived})
		select {
		case <-pace.C:
		case <-stop:
			return nil
		}
	}
}

// TestTruth: packets that leave while a policy comes and goes arrive when the log says that they
// may, and do not when it says that they may not. A packet may be under way for a moment before it
// is filtered.
func TestTruth(t *testing.T) {
	w, client, server := newPair(t)
	deny := newPolicy("x", "deny", with("app", "server"), isolate(in))
	for _, f := range families {
		t.Run(fmt.Sprint("IPv", f), func(t *testing.T) {
			flips := w.during(t, client, server, f, func() {
				for range 5 {
					w.createPolicy(deny)
					w.deletePolicy("deny")
				}
			})
			if len(flips) < 11 {
				t.Fatalf("the log has %d flips", len(flips))
			}
		})
	}
}

// during sends packets from one pod to another while something happens, and returns the flips of
// the pair since the log began. The fate of each packet must be the one that they say.
func (w *environment) during(t *testing.T, from, to *host, f family, do func()) []truth.Flip {
	t.Helper()
	stop := make(chan struct{})
	var p prober
	var group errgroup.Group
	group.Go(func() error { return p.run(from, to, f, stop) })
	do()
	close(stop)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	records, _ := w.records.snapshot()
	flips := truth.Flips(records, w.pair(from.name, to.name, f, corev1.ProtocolSCTP, 80))[0]
	// pods that the engine has not heard of are blocked
	fromTheStart := append([]truth.Flip{{}}, flips...)
	deadline := time.Now().Add(time.Second)
	for i, packet := range p.sent {
		arrived := isClosedBy(packet.arrived, deadline)
		if !possible(fromTheStart, packet.at, w.underWay, arrived) {
			t.Errorf("packet %d sent at %v arrived=%v; flips %+v", i, packet.at, arrived, flips)
		}
		if !arrived {
			deadline = time.Now() // one wait is enough for all that are lost
		}
	}
	return flips
}

// possible says whether a packet may have the fate it had, by the verdicts between its sending and
// the end of the time that it may have been under way.
func possible(flips []truth.Flip, at time.Time, underWay time.Duration, arrived bool) bool {
	for i, flip := range flips {
		until := at.Add(underWay)
		begins := flip.Before
		ends := until.Add(1)
		if i+1 < len(flips) {
			ends = flips[i+1].After
		}
		if flip.Allowed == arrived && begins.Before(until) && ends.After(at) {
			return true
		}
	}
	return false
}

// TestTakeOver: a new engine in place of a dead one never lets what is denied pass, and goes on
// letting pass what is allowed. The kernel registers the hooks of the new table a moment before its
// rules are valid, so a single packet may meet a closed table; two in a row would be an outage.
func TestTakeOver(t *testing.T) {
	w, client, server := newPair(t)
	denied := w.net.addHost(t, "x/denied", podIPs(1, 3)...)
	w.createPod(newPod("x", "denied", labelSet("app", "denied"), 80, denied.addresses))
	w.createPolicy(newPolicy("x", "deny", with("app", "denied"), isolate(in)))
	// resolves neighbours
	try(t, []*attempt{{from: client, to: server, family: ipv4, protocol: corev1.ProtocolTCP,
		port: 80}}, waitTimeout)
	stop := make(chan struct{})
	var allowed, forbidden prober
	var group errgroup.Group
	group.Go(func() error { return allowed.run(client, server, ipv4, stop) })
	group.Go(func() error { return forbidden.run(client, denied, ipv4, stop) })
	for range 20 {
		w.runAnotherEngine(t)
	}
	close(stop)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Second)
	lost := false
	for i, packet := range allowed.sent {
		before := lost
		lost = !isClosedBy(packet.arrived, deadline)
		if lost && before {
			t.Errorf("packets %d and %d of %d are lost", i-1, i, len(allowed.sent))
		}
	}
	for i, packet := range forbidden.sent {
		if isClosedBy(packet.arrived, time.Now()) {
			t.Errorf("packet %d of %d leaked", i, len(forbidden.sent))
		}
	}
}

// runAnotherEngine replaces the table by what a fresh engine makes of the API, and ends it.
func (w *environment) runAnotherEngine(t *testing.T) {
	t.Helper()
	records := newRecordLog()
	ctx, cancel := context.WithCancel(w.ctx)
	e := newEngine(w.engine.cfg, w.client, kernelIn(t, w.net.router), records)
	var group errgroup.Group
	group.Go(func() error { return e.run(ctx) })
	r := records.await(t, 0, "taking over", func(r truth.Record) bool {
		return r.Causes[0].Event == "synced"
	})
	if r.Seq != 1 || r.Ops[0].Kind != truth.KindTable || len(r.Ops) < 8 {
		t.Errorf("it did not take over in one transaction: %+v", r)
	}
	cancel()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestFailClosed: a pod that the engine has not heard of reaches nothing and is reached by nothing
// but its node.
func TestFailClosed(t *testing.T) {
	w, _, _ := newPair(t)
	w.net.addHost(t, "x/unknown", podIPs(1, 9)...)
	w.net.addHost(t, "outside", parse("198.51.100.10", "2001:db8:100::10")...)
	w.net.addRouter(t, parse("172.18.0.2", "fd00:172:18::2")...)
	if blocked := w.check(t); blocked == 0 {
		t.Error("nothing is blocked")
	}
	record := w.createPod(newPod("x", "unknown", nil, 80, podIPs(1, 9)))
	if blocked := w.check(t); blocked != 0 {
		t.Errorf("%d connections are blocked after the pod is known", blocked)
	}
	records, _ := w.records.snapshot()
	flips := truth.Flips(records, w.pair("x/client", "x/unknown", ipv6, corev1.ProtocolTCP, 81))[0]
	if len(flips) != 1 || !flips[0].Before.Equal(record.Before) {
		t.Errorf("the flips to the pod are %+v, its record %+v", flips, record)
	}
}

// TestReject: what forbidden connections are answered with, changed while the engine runs, over its
// control socket.
func TestReject(t *testing.T) {
	w, client, server := newPair(t)
	w.net.addRouter(t, parse("172.18.0.2", "fd00:172:18::2")...)
	w.createPolicy(newPolicy("x", "deny", with("app", "server"), isolate(in)))
	w.createPolicy(newPolicy("x", "deny-egress", with("app", "client"), isolate(out)))
	control := w.serve(t)
	for _, row := range []struct {
		reject   truth.Refusal
		tcp, udp outcome
		timeout  time.Duration
	}{
		{truth.Reset, refused, refused, waitTimeout},
		// An ICMP message that comes back while connect still runs does not end it (the socket is
		// locked); the one for the SYN's retransmission after 1 s does.
		{truth.ICMP, unreachable, unreachable, waitTimeout},
		{truth.Drop, silent, silent, 200 * time.Millisecond},
	} {
		t.Run("reject="+string(row.reject), func(t *testing.T) {
			control.put(t, fmt.Sprintf(`{"reject":%q}`, row.reject))
			for _, to := range []*host{server, w.net.hosts[2]} {
				for _, f := range families {
					attempts := []*attempt{
						{from: client, to: to, family: f, protocol: corev1.ProtocolTCP, port: 80},
						{from: client, to: to, family: f, protocol: corev1.ProtocolUDP, port: 80},
					}
					try(t, attempts, row.timeout)
					if attempts[0].outcome != row.tcp || attempts[1].outcome != row.udp {
						t.Errorf("%v is %s, UDP %s", attempts[0], attempts[0].outcome,
							attempts[1].outcome)
					}
				}
			}
		})
	}
}

// TestRejectLeavesNoGap: no forbidden packet passes while the answer to forbidden packets changes.
func TestRejectLeavesNoGap(t *testing.T) {
	w, client, server := newPair(t)
	w.createPolicy(newPolicy("x", "deny", with("app", "server"), isolate(in)))
	control := w.serve(t)
	stop := make(chan struct{})
	var p prober
	var group errgroup.Group
	group.Go(func() error { return p.run(client, server, ipv4, stop) })
	for range 20 {
		control.put(t, `{"reject":"icmp"}`)
		control.put(t, `{"reject":""}`)
	}
	close(stop)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, packet := range p.sent {
		if isClosedBy(packet.arrived, time.Now()) {
			t.Errorf("packet %d of %d leaked", i, len(p.sent))
		}
	}
}

// TestBatches: a change of many pods takes as many transactions as the settings ask for, apart from
// each other by the gap, and pods change one after the other.
func TestBatches(t *testing.T) {
	w := newEnvironment(t)
	w.putNamespace("x", nil)
	for i := range byte(5) {
		name := fmt.Sprint("pod-", i)
		w.createPod(newPod("x", name, labelSet("app", "web"), 80, podIPs(1, 1+i)[:1]))
	}
	control := w.serve(t)
	control.put(t, `{"batch":2,"gap":"20ms"}`)
	before, _ := w.records.snapshot()
	w.createPolicy(newPolicy("x", "deny", with("app", "web"), isolate(in)))
	// One operation for the policy and its guard each, and one for each pod: 7 in portions of 2.
	w.records.await(t, len(before)+3, "the last portion", func(truth.Record) bool { return true })
	records, _ := w.records.snapshot()
	sizes := []int{}
	for i, r := range records[len(before):] {
		sizes = append(sizes, len(r.Ops))
		if gap := r.Before.Sub(records[len(before)+i-1].After); i > 0 && gap < 20*time.Millisecond {
			t.Errorf("transaction %d comes %v after the one before", i, gap)
		}
	}
	if !slices.Equal(sizes, []int{2, 2, 2, 1}) {
		t.Errorf("the transactions have %v operations", sizes)
	}
}

// TestDelay: enforcement comes after the delay and the jitter, counted from the event's arrival.
func TestDelay(t *testing.T) {
	w := newEnvironment(t)
	w.putNamespace("x", nil)
	w.createPod(newPod("x", "p", nil, 80, podIPs(1, 1)))
	control := w.serve(t)
	control.put(t, `{"delay":"100ms","jitter":"20ms"}`)
	for i := range 3 {
		r := w.createPolicy(newPolicy("x", fmt.Sprint("p", i), everyPod, isolate(in)))
		took := r.Before.Sub(r.Causes[0].Arrived)
		if took < 100*time.Millisecond || took > 120*time.Millisecond+waitTimeout/100 {
			t.Errorf("the policy was enforced after %v", took)
		}
	}
}

func TestControl(t *testing.T) {
	w := newEnvironment(t)
	control := w.serve(t)
	if body := control.do(t, http.MethodGet, "/healthz", "", http.StatusOK); body != "ok\n" {
		t.Errorf("health is %q", body)
	}
	control.put(t, `{"delay":"300ms","batch":7}`)
	got := control.put(t, `{"gap":"1s"}`)
	if want := (Settings{Delay: 300 * time.Millisecond, Batch: 7, Gap: time.Second}); got != want {
		t.Errorf("the settings are %+v", got)
	}
	for _, row := range []struct{ body, mistake string }{
		{`{"delay":"soon"}`, "duration"},
		{`{"delay":"-1s","batch":-1,"reject":"politely"}`, "negative"},
		{`{"reject":"politely"}`, "reset"},
		{`{"faults":"leek=1s"}`, FaultForms},
		{`delay=1`, "invalid character"},
	} {
		if message := control.do(t, http.MethodPut, "/settings", row.body,
			http.StatusBadRequest); !strings.Contains(message, row.mistake) {
			t.Errorf("%s: the message is %q", row.body, message)
		}
	}
	if now := control.do(t, http.MethodGet, "/settings", "", http.StatusOK); !strings.Contains(now,
		`"300ms"`) {
		t.Errorf("a mistake changed the settings: %s", now)
	}
}

// TestHealthBeforeSync: an engine that has no answer from the API is not healthy, and blocks
// already.
func TestHealthBeforeSync(t *testing.T) {
	w := newEnvironment(t)
	e := newEngine(Config{Node: "n"}, w.client, w.engine.kernel, w.records)
	response := newControl(w.ctx, t, e).do(t, http.MethodGet, "/healthz", "",
		http.StatusServiceUnavailable)
	if !strings.Contains(response, "not seen") {
		t.Errorf("the answer is %q", response)
	}
}

// control is a client of an engine's socket.
type control struct{ client http.Client }

func (w *environment) serve(t testing.TB) control { return newControl(w.ctx, t, w.engine) }

func newControl(ctx context.Context, t testing.TB, e *engine) control {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	ctx, cancel := context.WithCancel(ctx)
	listening := make(chan struct{})
	var group errgroup.Group
	group.Go(func() error {
		listener, err := socket.Listen(path)
		close(listening)
		if err != nil {
			return err
		}
		return socket.Serve(ctx, listener, time.Second, e.handler())
	})
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	<-listening
	return control{http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}}
}

func (c control) do(t testing.TB, method, path, body string, status int) string {
	t.Helper()
	request, err := http.NewRequest(method, "http://engine"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != status {
		t.Errorf("%s %s %s: %s: %s", method, path, body, response.Status, answer)
	}
	return string(answer)
}

func (c control) put(t testing.TB, body string) Settings {
	t.Helper()
	var s Settings
	if err := json.Unmarshal([]byte(c.do(t, http.MethodPut, "/settings", body, http.StatusOK)),
		&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(addresses ...string) []netip.Addr {
	var all []netip.Addr
	for _, a := range addresses {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}
