// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// dialogue is what a probe does on a non-blocking socket of its own.
type dialogue interface {
	// socket is the type and the protocol of the socket (socket(2)).
	socket() (kind, protocol int)
	// request is what to send to the pair's target, nil for nothing.
	request(p *Pair) []byte
	// open reacts to the connection being open: it ends the probe, or sends something.
	open(w *worker, i int32, now instant)
	// read reacts to an answer that can be read.
	read(w *worker, i int32, now instant)
}

// sockets is the prober of every mode in which each probe has a socket of its own, and with it a source
// port of its own: to a filter that tracks connections, every probe is a new one.
type sockets struct {
	dialogue dialogue
	datagram bool // sockets are open from the start
	linger   unix.Linger
	look     [1]unix.PollFd
	errors   *errorQueue
	pool     *pool // nil where a socket cannot be used again
}

func newSockets(d dialogue) *sockets {
	kind, protocol := d.socket()
	m := &sockets{
		dialogue: d, datagram: kind == unix.SOCK_DGRAM, errors: newErrorQueue(),
		// Closing resets the connection and leaves no TIME_WAIT behind (socket(7), SO_LINGER).
		linger: unix.Linger{Onoff: 1},
	}
	// Of TCP only: a datagram socket would keep what has arrived.
	if kind == unix.SOCK_STREAM && protocol == 0 {
		m.pool = newPool(m.errors)
	}
	return m
}

func (m *sockets) prepare(p *Pair)      { p.request = m.dialogue.request(p) }
func (m *sockets) forget(*Pair)         {}
func (m *sockets) poll(*worker)         {}
func (m *sockets) every() time.Duration { return 0 }

func (m *sockets) close() error {
	if m.pool == nil {
		return nil
	}
	return m.pool.close()
}

// release keeps the slot's socket for another probe, if it can, and else closes it.
func (m *sockets) release(w *worker, s *slot) {
	if s.fd == none {
		return
	}
	if m.pool != nil && w.unwatch(s) == nil && m.pool.put(family(s.pair), s.fd) {
		s.fd = none
		return
	}
	s.drop()
}

// send begins the connections of the slots. Each is watched only once it is under way: before, epoll
// would report a hang-up.
func (m *sockets) send(w *worker, slots []int32) {
	for _, i := range slots {
		s := &w.flight.slots[i]
		if s.phase != launched {
			continue // what an earlier one of the batch brought was enough for the pair
		}
		err := m.newSocket(s)
		s.sent = w.clock.now()
		if err == nil {
			err = unix.Connect(int(s.fd), s.pair.destination)
		}
		s.sentBy = w.clock.now()
		// A datagram socket is connected at once, others where the target is near: those need no watch.
		if use := s.use; err == nil || errors.Is(err, unix.EINPROGRESS) && m.connected(s) {
			m.dialogue.open(w, i, s.sentBy)
			if !w.flight.holds(ticket{slot: i, use: use}) {
				continue
			}
			err = nil
		}
		if err == nil || errors.Is(err, unix.EINPROGRESS) {
			err = w.watch(i, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLET)
		}
		if err != nil {
			w.end(i, m.classify(s, err), w.clock.now(), err)
		}
	}
}

// connected reports whether a connection under way is open by now, and nothing else.
func (m *sockets) connected(s *slot) bool {
	m.look[0] = unix.PollFd{Fd: s.fd, Events: unix.POLLOUT}
	n, err := unix.Poll(m.look[:], 0)
	return err == nil && n == 1 && m.look[0].Revents == unix.POLLOUT
}

// newSocket gives the slot a socket: one that has been used, or a new one.
func (m *sockets) newSocket(s *slot) error {
	if m.pool != nil {
		if s.fd = m.pool.take(family(s.pair)); s.fd != none {
			return nil
		}
	}
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	if s.pair.to.Addr().Is6() {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	kind, protocol := m.dialogue.socket()
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return noProbe{os.NewSyscallError("socket", err)}
	}
	s.fd = int32(fd)
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return noProbe{os.NewSyscallError("setsockopt", err)}
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &m.linger); err != nil {
		return noProbe{os.NewSyscallError("setsockopt", err)}
	}
	return nil
}

// noProbe is the error of a probe that never left: it says nothing about the network.
type noProbe struct{ error }

// ready deals with an event of a slot's socket.
func (m *sockets) ready(w *worker, i int32, events uint32) {
	s := &w.flight.slots[i]
	now := w.clock.now()
	err := socketError(int(s.fd))
	switch {
	case err != nil && s.phase == answering && !errors.Is(err, unix.ECONNREFUSED):
		w.end(i, measure.Unanswered, now, err) // it was open: a server that hangs up denies nothing
	case err != nil:
		w.end(i, m.classify(s, err), now, err)
	case s.phase == launched && !m.datagram && events&unix.EPOLLOUT != 0:
		m.dialogue.open(w, i, now)
		// What was there to read before there was a request will not be told again.
		if s.phase == answering && events&unix.EPOLLIN != 0 {
			m.dialogue.read(w, i, now)
		}
	case events&(unix.EPOLLIN|unix.EPOLLHUP) != 0 && (s.phase == answering || m.datagram):
		m.dialogue.read(w, i, now)
	}
}

// socketError takes the error that waits on a socket (socket(7), SO_ERROR), nil if there is none.
func socketError(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}

// classify tells why a probe failed. The socket's error queue knows whether the error came as an ICMP
// message (ip(7), IP_RECVERR); without an entry there, ECONNREFUSED was a reset.
func (m *sockets) classify(s *slot, err error) measure.Verdict {
	var never noProbe
	if errors.As(err, &never) || s.fd == none {
		return measure.Ambiguous
	}
	message, icmp := m.errors.newest(int(s.fd))
	// To a datagram that nobody listens for, a host answers "port unreachable" (RFC 1122, section 4.1.3.1).
	if icmp && (!m.datagram || !errors.Is(err, unix.ECONNREFUSED)) {
		return message.verdict()
	}
	return verdictOf(err)
}

// verdictOf is what an error of the kernel says about the network.
func verdictOf(err error) measure.Verdict {
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET):
		return measure.Refused
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return measure.Rejected // a filter on this host, or in this pod
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return measure.Unreachable
	case errors.Is(err, unix.ETIMEDOUT):
		return measure.Dropped
	default:
		return measure.Ambiguous
	}
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	address := to.Addr()
	if address.Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: address.As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: address.As16()}
}
