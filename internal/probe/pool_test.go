// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// TestPool uses one socket for several connections: each comes from another port, and is reset when
// its socket is put back.
func TestPool(t *testing.T) {
	type end struct {
		from string
		err  error
	}
	ends := make(chan end)
	to := serve(t, func(connection net.Conn) {
		_, err := connection.Read(make([]byte, 1))
		ends <- end{connection.RemoteAddr().String(), err}
	})
	w, m := idleWorker(t, 20)
	p := newPair(to, nil, 0)
	e := &w.table.entries[w.table.take(&p)]
	m.add(&p)
	state := p.state.(*socketState)
	check(t, m.takeSocket(0, e, state))
	first, ports := e.fd, make(map[string]bool)
	for range 3 {
		_ = state.address.Connect(e.fd)
		m.release(e)
		if e.fd != none {
			t.Fatal("the entry has its socket still")
		}
		one := <-ends
		if !errors.Is(one.err, unix.ECONNRESET) {
			t.Errorf("the server read %v; want a reset", one.err)
		}
		ports[one.from] = true
		check(t, m.takeSocket(0, e, state))
		if e.fd != first {
			t.Fatalf("the next socket is %d; want %d again", e.fd, first)
		}
	}
	if len(ports) != 3 {
		t.Errorf("three connections came from %d ports: %v", len(ports), ports)
	}
	closeSocket(e.fd)
}

// idleWorker is a worker that does not run, with the sockets that it connects, at most so many.
func idleWorker(t *testing.T, most int) (*worker, *sockets) {
	t.Helper()
	wait := timeouts{opening: 100 * time.Millisecond, response: time.Second}
	space, err := newWorkspace(inFlight(fast(), wait.opening))
	if err != nil {
		t.Fatal(err)
	}
	m := newSockets(space, connect{}, most)
	m.pool = newPool(most) // also where the kernel is too old for it
	w := newWorker(Connect, m, space, fast(), wait)
	t.Cleanup(func() {
		w.quitting = true
		w.run()
		check(t, w.closed)
	})
	return w, m
}

// TestPoolForgets dissolves a connection that nobody answers, which cannot open any more then.
func TestPoolForgets(t *testing.T) {
	p := newPool(2)
	defer func() { check(t, p.close()) }()
	for _, to := range []netip.AddrPort{silent(t), serve(t, func(net.Conn) {})} {
		socket := p.take(0)
		if socket == none {
			fd, err := unix.Socket(unix.AF_INET,
				unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			check(t, err)
			socket = int32(fd)
		}
		address := packet.NewSocketAddress(to)
		_ = address.Connect(socket)
		if !p.put(0, socket) {
			t.Fatal("the pool does not take the socket")
		}
		if _, err := unix.Getpeername(int(socket)); err != unix.ENOTCONN {
			t.Errorf("the socket has a peer: %v; want %v", err, unix.ENOTCONN)
		}
	}
}

// TestPoolFull has the other family's sockets make room where there are as many as there may be.
func TestPoolFull(t *testing.T) {
	const most = 5
	w, m := idleWorker(t, most)
	before := descriptors(t)
	use := func(to string) {
		pair := newPair(netip.MustParseAddrPort(to), nil, 0)
		m.add(&pair)
		var batch []int32
		for range most {
			i := w.table.take(&pair)
			batch = append(batch, i)
			check(t, m.takeSocket(i, &w.table.entries[i], pair.state.(*socketState)))
		}
		if after := descriptors(t); after != before+most || m.pool.alive != most {
			t.Errorf("%d descriptors are open beside %d, and %d sockets counted; want %d",
				after-before, before, m.pool.alive, most)
		}
		for _, i := range batch {
			m.release(&w.table.entries[i])
		}
	}
	use("127.0.0.1:1")
	use("[::1]:1")
	use("127.0.0.1:1")
	check(t, m.close())
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open after the end; there were %d", after, before)
	}
}
