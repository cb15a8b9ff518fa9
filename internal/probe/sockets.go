// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"os"
	"time"
	"unsafe"

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
	// read reacts to what has arrived, and returns the error of reading, if any.
	read(w *worker, i int32, now instant) error
}

// sockets is the prober of every mode in which each probe has a socket of its own, and with it a source
// port of its own: to a filter that tracks connections, every probe is a new one.
type sockets struct {
	dialogue dialogue
	datagram bool // sockets are open from the start
	linger   unix.Linger
	look     [1]unix.PollFd
	errors   *errorQueue
	pool     *pool   // nil where a socket cannot be used again
	holders  []int32 // the slot of each socket's probe, by descriptor, none for one that waits in the pool
}

// newSockets opens at most so many sockets at once as probes can be in flight.
func newSockets(d dialogue, most int) *sockets {
	kind, protocol := d.socket()
	m := &sockets{
		dialogue: d, datagram: kind == unix.SOCK_DGRAM, errors: newErrorQueue(),
		// Closing resets the connection and leaves no TIME_WAIT behind (socket(7), SO_LINGER).
		linger: unix.Linger{Onoff: 1},
	}
	// Of TCP only: a datagram socket would keep what has arrived.
	if kind == unix.SOCK_STREAM && protocol == 0 {
		m.pool = newPool(most)
	}
	return m
}

func (m *sockets) prepare(p *Pair) {
	p.request = m.dialogue.request(p)
	p.raw = newRawAddress(p.to.Addr(), p.to.Port())
}

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
func (m *sockets) release(_ *worker, s *slot) {
	if s.fd == none {
		return
	}
	m.holders[s.fd] = none
	if m.pool != nil && m.pool.put(family(s.pair), s.fd) {
		s.fd = none
		return
	}
	s.drop()
}

// send begins the connections of the slots.
func (m *sockets) send(w *worker, slots []int32) {
	for _, i := range slots {
		s := &w.flight.slots[i]
		if s.phase != launched {
			continue // what an earlier one of the batch brought was enough for the pair
		}
		err := m.newSocket(w, i)
		s.sent = w.clock.now()
		if err == nil {
			err = connectTo(s.fd, &s.pair.raw)
		}
		s.sentBy = w.clock.now()
		switch {
		case err == nil, errors.Is(err, unix.EINPROGRESS) && m.connected(s):
			m.dialogue.open(w, i, s.sentBy)
		case !errors.Is(err, unix.EINPROGRESS):
			w.end(i, m.classify(s, err), w.clock.now(), err)
		}
	}
}

// connectTo begins to connect a socket that does not wait (connect(2)): the runtime need not be told (see worker.sleep).
func connectTo(socket int32, to *rawAddress) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(socket), uintptr(unsafe.Pointer(&to.bytes[0])),
		uintptr(to.length)); errno != 0 {
		return errno
	}
	return nil
}

// connected reports whether a connection under way is open by now, and nothing else: an answer from nearby has come when
// connect(2) returns, and is told sooner and more cheaply than by an event. Where none is expected it is not looked for.
func (m *sockets) connected(s *slot) bool {
	if !s.pair.overdue.expected() {
		return false
	}
	m.look[0] = unix.PollFd{Fd: s.fd, Events: unix.POLLOUT}
	n, err := unix.Poll(m.look[:], 0)
	return err == nil && n == 1 && m.look[0].Revents == unix.POLLOUT
}

// newSocket gives the slot a socket: one that has been used, or a new one. Sockets are watched for as long as they live. What
// is reported is always how they are when the worker asks: that they were not connected is no news once they are.
func (m *sockets) newSocket(w *worker, i int32) error {
	s := &w.flight.slots[i]
	if m.pool != nil {
		s.fd = m.pool.take(family(s.pair))
	}
	if s.fd == none {
		if err := m.add(w, s); err != nil {
			return noProbe{err}
		}
	}
	m.holders[s.fd] = i
	return nil
}

// add gives the slot a new socket that is watched.
func (m *sockets) add(w *worker, s *slot) error {
	if m.pool != nil {
		m.pool.admit(family(s.pair))
	}
	err := m.create(s)
	if err == nil {
		err = w.watch(s.fd, s.fd)
	}
	if err != nil {
		s.drop() // what is not watched is of no use to a later probe either
		if m.pool != nil {
			m.pool.alive--
		}
		return err
	}
	for int(s.fd) >= len(m.holders) {
		m.holders = append(m.holders, none)
	}
	return nil
}

// create gives the slot a new socket.
func (m *sockets) create(s *slot) error {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	if s.pair.to.Addr().Is6() {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	kind, protocol := m.dialogue.socket()
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	s.fd = int32(fd)
	err = unix.SetsockoptInt(fd, level, option, 1)
	if err == nil {
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &m.linger)
	}
	return os.NewSyscallError("setsockopt", err)
}

// noProbe is the error of a probe that never left: it says nothing about the network.
type noProbe struct{ error }

// ready deals with an event of a socket.
func (m *sockets) ready(w *worker, socket int32, events uint32) {
	i := m.holders[socket]
	if i == none {
		return // that its connection was dissolved
	}
	switch s := &w.flight.slots[i]; {
	case s.pair.stopped:
		w.end(i, measure.Unanswered, w.clock.now(), errCancelled) // nobody wants to know, but a table has an entry of it
	case s.phase == answering:
		m.hear(w, i, events)
	case m.datagram:
		m.receive(w, i, events)
	default:
		m.open(w, i, events)
	}
}

// hear takes what has arrived on a connection, and after it the error that ended it, if one did: in the order in which they
// came, however late they are looked at.
func (m *sockets) hear(w *worker, i int32, events uint32) {
	if events&^unix.EPOLLOUT == 0 {
		return // that there is room to send more
	}
	now := w.clock.now()
	message, icmp := m.message(w.flight.slots[i].fd, events)
	err := m.dialogue.read(w, i, now)
	switch {
	case err == nil:
	case icmp:
		w.end(i, message.verdict(), now, err)
	default:
		w.end(i, measure.Unanswered, now, err) // it was open: a server that hangs up denies nothing
	}
}

// receive takes what has arrived on a datagram socket.
func (m *sockets) receive(w *worker, i int32, events uint32) {
	now := w.clock.now()
	s := &w.flight.slots[i]
	err := socketError(s.fd, events)
	if err == nil && events&unix.EPOLLIN != 0 {
		err = m.dialogue.read(w, i, now) // which takes an error that has come since the event
	}
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		w.end(i, m.classify(s, err), now, err)
	}
}

// open looks at a connection that was under way.
func (m *sockets) open(w *worker, i int32, events uint32) {
	now := w.clock.now()
	s := &w.flight.slots[i]
	err := socketError(s.fd, events)
	switch {
	case err != nil && !hadOpened(err):
		w.end(i, m.classify(s, err), now, err)
	case err != nil, events&unix.EPOLLOUT != 0:
		m.message(s.fd, events) // to an earlier probe of this socket, which came too late for that
		m.dialogue.open(w, i, now)
		// What was there to read before there was a request will not be told again.
		if s.phase == answering && events&(unix.EPOLLIN|unix.EPOLLHUP) != 0 {
			m.hear(w, i, events)
		}
	}
}

// hadOpened reports whether a connection that ended by this error was open before: a reset that answers a SYN is
// ECONNREFUSED, a later one ECONNRESET, or EPIPE where the target had ended its half (RFC 9293, section 3.10.7; tcp(7)).
func hadOpened(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// message takes the newest ICMP error that an event tells of.
func (m *sockets) message(socket int32, events uint32) (message icmpError, icmp bool) {
	if events&unix.EPOLLERR == 0 {
		return icmpError{}, false
	}
	return m.errors.newest(int(socket))
}

// socketError takes the error that waits on a socket (socket(7), SO_ERROR), nil if an event tells of none (poll(2)).
func socketError(fd int32, events uint32) error {
	if events&unix.EPOLLERR == 0 {
		return nil
	}
	code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
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
