// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package agent

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// haltedVariable has the addresses that the process of TestHalted probes.
const haltedVariable = "NETPOL_LATENCY_TEST_HALTED"

// A client that was stopped has not looked, which is no outage and no hole.
func TestHalted(t *testing.T) {
	if addresses := os.Getenv(haltedVariable); addresses != "" {
		watchUntilClosed(t, strings.Split(addresses, ","))
		return
	}
	t.Parallel()
	const halted = time.Second
	served, closed := listenLocally(t), listenLocally(t)
	server := http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = server.Serve(served) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}

	child := exec.Command(os.Args[0], "-test.run=^TestHalted$")
	child.Env = append(os.Environ(), haltedVariable+"="+served.Addr().String()+","+
		closed.Addr().String())
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil { // it has begun
		t.Fatal(err)
	}
	halt(t, child, halted)
	time.Sleep(probe.MaxTimeout) // what it sees after that
	_ = in.Close()               // it ends, or has ended

	for range 3 {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Kind    string
			Watched measure.Watched
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if n := got.Watched.Breaches.Count; n != 0 {
			t.Errorf("%s: %d breaches; want none: %s", got.Kind, n, line)
		}
		if longest := got.Watched.Unknown.Longest.Most; longest < halted {
			t.Errorf("%s: unknown for %s at the most; want %s or more: %s", got.Kind, longest,
				halted, line)
		}
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}

// halt stops a process for so long.
func halt(t *testing.T, child *exec.Cmd, long time.Duration) {
	t.Helper()
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(long)
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

func listenLocally(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// watchUntilClosed watches the first address, by new connections and on an open one, and the
// second, which nobody serves, until nothing more comes on standard input, and says what it saw.
func watchUntilClosed(t *testing.T, addresses []string) {
	config := DefaultConfig()
	fresh, err := startEngine(config, probe.Control{})
	if err != nil {
		t.Fatal(err)
	}
	open, err := startEngine(config.ofOpen(), probe.Control{})
	if err != nil {
		t.Fatal(err)
	}
	prober := twoEngines{engineOf{fresh}, engineOf{open}}

	var pairs []*pair
	begin := time.Now()
	for _, one := range []struct {
		address string
		expect  protocol.Expect
	}{
		{addresses[0], protocol.Expect{Keep: "allowed"}},
		{addresses[0], protocol.Expect{Keep: "allowed", Open: true}},
		{addresses[1], protocol.Expect{Keep: "blocked"}},
	} {
		p := &pair{notices: newQueue[notice](), expect: one.expect}
		watch := measure.NewWatch(p.kind().Keeps(), config.rules())
		p.observed.watch = &watch
		p.observed.transition = measure.NewTransition(p.kind().Keeps().Opposite(), config.rules())
		p.trigger(begin)
		p.probing = prober.follow(netip.MustParseAddrPort(one.address), p)
		pairs = append(pairs, p)
	}

	time.Sleep(300 * time.Millisecond)
	encoder := json.NewEncoder(os.Stdout)
	_ = encoder.Encode("begun")
	_, _ = io.Copy(io.Discard, os.Stdin)
	ended := time.Now()
	for _, engine := range []*probe.Engine{fresh, open} {
		if err := engine.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pairs {
		_ = encoder.Encode(struct {
			Kind    string
			Watched measure.Watched
		}{p.kind().String(), p.observed.watch.End(ended.Add(-probe.MaxTimeout))})
	}
}
