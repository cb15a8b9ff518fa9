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
	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// established is the prober of connections that exist already: it opens one to each pair's target
// and keeps it. A probe is a HEAD request on it (RFC 9110, section 9.3.2), whose response has no
// body, and is allowed when its response comes. While there is no connection a probe is ambiguous:
// it proves nothing about established ones.
type established struct {
	*workspace
	connections []*connection // by number; nil where one has been removed
	unused      []int32
	buffer      [4096]byte
}

// connection is the long-lived one of a pair.
type connection struct {
	pair    *pair
	address packet.SocketAddress
	request []byte
	fd      int32
	number  int32
	state   connectionState
	// asked and answered count requests and responses: the responses come in the order of the
	// requests (RFC 9112, section 9.3.2).
	asked, answered uint32
	// end is how much of the end of a response's header has arrived.
	end int
}

type connectionState uint8

const (
	unconnected connectionState = iota
	connecting
	connected
	cut // by a reset, not by the server's orderly end
)

var (
	errNoConnection = errors.New("ask on the established connection: there is none yet")
	errCut          = errors.New("ask on the established connection: it was cut")
	errTableFull    = errors.New("open it: the agent's part of the connection tracking table is " +
		"full")
)

func newEstablished(space *workspace) *established { return &established{workspace: space} }

func (m *established) poll(replies []reply) []reply { return replies }
func (m *established) pollInterval() time.Duration  { return 0 }
func (m *established) release(*entry)               {}
func (m *established) close() error                 { return nil }

// add gives the pair a connection, which its first probe will open.
func (m *established) add(p *pair) {
	c := &connection{
		pair: p, fd: none, address: packet.NewSocketAddress(p.to),
		request: []byte("HEAD / HTTP/1.1\r\nHost: " + p.to.String() +
			"\r\nUser-Agent: netpol-latency\r\n\r\n"),
	}

	if n := len(m.unused); n > 0 {
		c.number, m.unused = m.unused[n-1], m.unused[:n-1]
		m.connections[c.number] = c
	} else {
		c.number = int32(len(m.connections))
		m.connections = append(m.connections, c)
	}

	p.state = c
}

// remove closes the pair's connection.
func (m *established) remove(p *pair) {
	c := p.state.(*connection)
	m.closeConnection(c)
	m.connections[c.number] = nil
	m.unused = append(m.unused, c.number)
}

// closeConnection closes the socket of a connection, if there is one.
func (m *established) closeConnection(c *connection) {
	if c.fd == none {
		return
	}
	closeSocket(c.fd)
	now, life := m.clock.now(), tcpEntryLife
	if c.state == connecting {
		life = tcpSYNLife
	}
	m.conntrack.move(now, forever, gone(now, life))
	c.fd, c.state = none, unconnected
}

// launch asks on the connections of the probes' pairs.
func (m *established) launch(batch []int32, replies []reply) []reply {
	for _, i := range batch {
		e := &m.table.entries[i]
		c := e.pair.state.(*connection)
		e.sent = m.clock.now()
		e.sentBy = e.sent

		a := attempt{e, i, c.request, e.sent}
		switch c.state {
		case unconnected:
			err := m.open(c)
			replies = append(replies, a.is(measure.Ambiguous, errors.Join(errNoConnection, err)))
		case connecting:
			replies = append(replies, a.is(measure.Ambiguous, errNoConnection))
		case cut:
			replies = append(replies, a.is(measure.Refused, errCut))
		case connected:
			replies = m.ask(c, a, replies)
		}
	}
	return replies
}

// open begins to connect.
func (m *established) open(c *connection) error {
	now := m.clock.now()
	if m.conntrack.full(now, true) {
		m.conntrack.stretched = now
		return errTableFull
	}
	socket, err := openSocket(packet.FamilyOf(c.pair.to.Addr()), unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}

	m.conntrack.move(now, 0, forever)
	c.fd, c.state, c.asked, c.answered, c.end = socket, connecting, 0, 0, 0
	err = c.address.Connect(c.fd)
	if err == nil || errors.Is(err, unix.EINPROGRESS) {
		err = m.poller.watch(c.fd, c.number)
	}
	if err != nil {
		m.closeConnection(c)
	}

	return err
}

// ask sends a probe's request.
func (m *established) ask(c *connection, a attempt, replies []reply) []reply {
	a.sequence = c.asked
	n, err := unix.Write(int(c.fd), a.request)
	a.sentBy = m.clock.now()
	a.at = a.sentBy

	switch {
	case err == nil && n == len(a.request):
		c.asked++
		return replies
	case errors.Is(err, unix.EAGAIN):
		// Requests have filled the socket's buffer: the earlier ones have been unanswered for long.
		return append(replies, a.is(measure.Dropped, fmt.Errorf("send the request: %w", err)))
	default:
		replies = m.read(c, replies) // what had arrived before
		return m.fail(c, fmt.Errorf("send the request: %w", errors.Join(err, errCut)), replies)
	}
}

// ready reads what an event of a connection is about.
func (m *established) ready(number int32, events uint32, replies []reply) []reply {
	c := m.connections[number]
	if c == nil || c.fd == none {
		return replies
	}

	const readable = unix.EPOLLIN | unix.EPOLLHUP | unix.EPOLLRDHUP | unix.EPOLLERR
	switch {
	case c.state == connected && events&readable != 0:
		return m.read(c, replies) // an error comes after what had arrived before it
	case c.state != connecting:
	case socketError(c.fd, events) != nil:
		m.closeConnection(c) // the next probe tries again
	case events&unix.EPOLLOUT != 0:
		c.state = connected
	}

	return replies
}

// read takes the responses that have come.
func (m *established) read(c *connection, replies []reply) []reply {
	now := m.clock.now()
	for c.state == connected {
		n, err := unix.Read(int(c.fd), m.buffer[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return replies
		case err != nil:
			replies = m.fail(c, err, replies)
		case n == 0:
			m.closeConnection(c) // the server's orderly end: the next probe connects again
		default:
			for range c.responses(m.buffer[:n]) {
				replies = m.answer(c, now, replies)
			}
		}
	}

	return replies
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

// answer finds the probe of the oldest request without a response, unless it has run out of time
// before.
func (m *established) answer(c *connection, now instant, replies []reply) []reply {
	number := c.answered
	c.answered++
	for i := c.pair.first; i != none; i = m.table.entries[i].next {
		if e := &m.table.entries[i]; e.phase == launched && e.sequence == number {
			return append(replies, reply{entry: i, verdict: measure.Allowed, at: now})
		}
	}
	return replies
}

// fail says of a connection that it was cut. The pair's probes in flight have their answer by that,
// but for those that have had one before.
func (m *established) fail(c *connection, why error, replies []reply) []reply {
	m.closeConnection(c)
	c.state = cut
	now := m.clock.now()
	for i := c.pair.first; i != none; i = m.table.entries[i].next {
		replies = append(replies, reply{entry: i, verdict: errorVerdict(why), at: now, err: why})
	}
	return replies
}
