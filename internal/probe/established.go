// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// established is the prober of connections that exist already: it opens one to each pair's target and
// keeps it. A probe is a HEAD request on it (RFC 9110, section 9.3.2), whose response has no body, and is
// allowed when its response comes. While there is no connection a probe is ambiguous: it proves nothing
// about established ones.
type established struct {
	sockets     *sockets
	connections []*connection // by number; nil where one has been forgotten
	unused      []int32
	buffer      [4096]byte
}

// connection is the long-lived one of a pair.
type connection struct {
	pair   *Pair
	fd     int
	number int32
	state  connectionState
	// asked and answered count requests and responses: the responses come in the order of the requests
	// (RFC 9112, section 9.3.2).
	asked, answered uint32
	// end is how much of the end of a response's header has arrived.
	end int
	why error // of a connection that was cut
}

type connectionState uint8

const (
	unconnected connectionState = iota
	connecting
	open
	cut // by a reset, not by the server's orderly end
)

var (
	errNoConnection = errors.New("ask on the established connection: there is none yet")
	errCut          = errors.New("ask on the established connection: it was cut")
)

func newEstablished() *established { return &established{sockets: newSockets(connect{}, 0)} }

func (m *established) poll(*worker)         {}
func (m *established) every() time.Duration { return 0 }
func (m *established) close() error         { return nil }

// release closes a socket that did not become a connection's.
func (m *established) release(_ *worker, s *slot) { s.drop() }

// prepare gives the pair a connection, which its first probe will open.
func (m *established) prepare(p *Pair) {
	p.request = []byte("HEAD / HTTP/1.1\r\nHost: " + p.to.String() + "\r\nUser-Agent: netpol-latency\r\n\r\n")
	p.raw = newRawAddress(p.to.Addr(), p.to.Port())
	c := &connection{pair: p, fd: none}
	if n := len(m.unused); n > 0 {
		c.number, m.unused = m.unused[n-1], m.unused[:n-1]
		m.connections[c.number] = c
	} else {
		c.number = int32(len(m.connections))
		m.connections = append(m.connections, c)
	}
	p.connection = c
}

// forget closes the pair's connection.
func (m *established) forget(p *Pair) {
	c := p.connection
	c.hangUp()
	m.connections[c.number] = nil
	m.unused = append(m.unused, c.number)
}

// hangUp closes the socket, if there is one.
func (c *connection) hangUp() {
	if c.fd != none {
		_ = unix.Close(c.fd) // the reset that closes it has no reader
		c.fd, c.state = none, unconnected
	}
}

// send asks on the connections of the slots.
func (m *established) send(w *worker, slots []int32) {
	for _, i := range slots {
		s := &w.flight.slots[i]
		if s.phase != launched {
			continue // what an earlier one of the batch brought was enough for the pair
		}
		c := s.pair.connection
		s.sent = w.clock.now()
		s.sentBy = s.sent
		switch c.state {
		case unconnected:
			err := m.open(w, c, s)
			w.end(i, measure.Ambiguous, s.sent, errors.Join(errNoConnection, err))
		case connecting:
			w.end(i, measure.Ambiguous, s.sent, errNoConnection)
		case cut:
			w.end(i, measure.Refused, s.sent, errCut)
		case open:
			m.ask(w, c, i)
		}
	}
}

// open begins to connect, on a socket like those of the other modes.
func (m *established) open(w *worker, c *connection, s *slot) error {
	if err := m.sockets.create(s); err != nil {
		s.drop()
		return err
	}
	// From now on the socket is the connection's, not the probe's.
	c.fd, s.fd = int(s.fd), none
	c.state, c.asked, c.answered, c.end = connecting, 0, 0, 0
	err := connectTo(int32(c.fd), &c.pair.raw)
	if err == nil || errors.Is(err, unix.EINPROGRESS) {
		err = w.watch(int32(c.fd), c.number)
	}
	if err != nil {
		c.hangUp()
	}
	return err
}

// ask sends the slot's request.
func (m *established) ask(w *worker, c *connection, i int32) {
	s := &w.flight.slots[i]
	s.sequence = c.asked
	n, err := unix.Write(c.fd, c.pair.request)
	s.sentBy = w.clock.now()
	switch {
	case err == nil && n == len(c.pair.request):
		c.asked++
	case errors.Is(err, unix.EAGAIN):
		// Requests have filled the socket's buffer: the earlier ones have been unanswered for long.
		w.end(i, measure.Dropped, s.sentBy, fmt.Errorf("send the request: %w", err))
	default:
		m.read(w, c) // what had arrived before
		m.lose(w, c, fmt.Errorf("send the request: %w", errors.Join(err, errCut)))
	}
}

// ready deals with an event of a connection.
func (m *established) ready(w *worker, number int32, events uint32) {
	c := m.connections[number]
	if c == nil || c.fd == none {
		return
	}
	switch {
	case c.state == open && events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLRDHUP|unix.EPOLLERR) != 0:
		m.read(w, c) // an error comes after what had arrived before it
	case c.state != connecting:
	case socketError(int32(c.fd), events) != nil:
		c.hangUp() // the next probe tries again
	case events&unix.EPOLLOUT != 0:
		c.state = open
	}
}

// read takes the responses that have come.
func (m *established) read(w *worker, c *connection) {
	now := w.clock.now()
	for c.state == open {
		n, err := unix.Read(c.fd, m.buffer[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			m.lose(w, c, err)
		case n == 0:
			c.hangUp() // the server's orderly end: the next probe connects again
		default:
			for range c.responses(m.buffer[:n]) {
				m.answer(w, c, now)
			}
		}
	}
}

// responses counts the headers that end in the bytes.
func (c *connection) responses(more []byte) int {
	const end = "\r\n\r\n"
	count := 0
	for _, b := range more {
		if b != end[c.end] {
			c.end = 0
		}
		if b == end[c.end] {
			c.end++
		}
		if c.end == len(end) {
			count, c.end = count+1, 0
		}
	}
	return count
}

// answer ends the probe of the oldest request without a response, unless it has run out of time before.
func (m *established) answer(w *worker, c *connection, now instant) {
	number := c.answered
	c.answered++
	for i := c.pair.first; i != none; i = w.flight.slots[i].next {
		if s := &w.flight.slots[i]; s.phase == launched && s.sequence == number {
			w.end(i, measure.Allowed, now, nil)
			return
		}
	}
}

// lose ends the probes of a connection that was cut. What is in flight has its answer by that.
func (m *established) lose(w *worker, c *connection, why error) {
	c.hangUp()
	c.state, c.why = cut, why
	w.endAll(c.pair, verdictOf(why), why)
}
