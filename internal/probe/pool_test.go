// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPool uses one socket for several connections: each comes from another port, and is reset when its socket is put
// back.
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
	m := newSockets(connect{})
	defer func() { check(t, m.close()) }()
	s := slot{fd: none, pair: &Pair{to: to, destination: sockaddr(to)}}
	check(t, m.newSocket(&s))
	first, ports := s.fd, make(map[string]bool)
	for range 3 {
		_ = unix.Connect(int(s.fd), s.pair.destination)
		m.release(nil, &s)
		if s.fd != none {
			t.Fatal("the slot has its socket still")
		}
		one := <-ends
		if !errors.Is(one.err, unix.ECONNRESET) {
			t.Errorf("the server read %v; want a reset", one.err)
		}
		ports[one.from] = true
		check(t, m.newSocket(&s))
		if s.fd != first {
			t.Fatalf("the next socket is %d; want %d again", s.fd, first)
		}
	}
	if len(ports) != 3 {
		t.Errorf("three connections came from %d ports: %v", len(ports), ports)
	}
	s.drop()
}

// TestPoolForgets dissolves a connection that nobody answers, which cannot open any more then.
func TestPoolForgets(t *testing.T) {
	p := newPool(newErrorQueue())
	defer func() { check(t, p.close()) }()
	for _, to := range []netip.AddrPort{silent(t), serve(t, func(net.Conn) {})} {
		socket := p.take(0)
		if socket == none {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			check(t, err)
			socket = int32(fd)
		}
		_ = unix.Connect(int(socket), sockaddr(to))
		if !p.put(0, socket) {
			t.Fatal("the pool does not take the socket")
		}
		if _, err := unix.Getpeername(int(socket)); err != unix.ENOTCONN {
			t.Errorf("the socket has a peer: %v; want %v", err, unix.ENOTCONN)
		}
	}
}

// TestPoolFull closes what has no room.
func TestPoolFull(t *testing.T) {
	before := descriptors(t)
	m := newSockets(connect{})
	pair := &Pair{to: netip.MustParseAddrPort("127.0.0.1:1")}
	slots := make([]slot, spare+10)
	for i := range slots {
		slots[i] = slot{fd: none, pair: pair}
		check(t, m.newSocket(&slots[i]))
	}
	for i := range slots {
		m.release(nil, &slots[i])
	}
	if after := descriptors(t); after != before+spare {
		t.Errorf("%d descriptors are open; there were %d and %d may wait", after, before, spare)
	}
	check(t, m.close())
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open after the end; there were %d", after, before)
	}
}
