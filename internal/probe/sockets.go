// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// socketState is what the prober keeps for a pair.
type socketState struct {
	address packet.SocketAddress
	family  packet.Family
	request []byte
}

// sockets is the prober of every mode in which each probe has a socket of its own, and with it a
// source port of its own: to a filter that tracks connections, every probe is a new one.
type sockets struct {
	*workspace
	exchange exchange
	kind     int
	protocol int
	look     [1]unix.PollFd
	errors   *packet.ErrorQueue
	ports    *packet.SourcePorts
	pool     *pool   // nil where a socket cannot be used again
	bySocket []int32 // the entry of each socket's probe, by descriptor, none for one in the pool
}

// newSockets opens at most so many sockets at once as probes can be in flight.
func newSockets(space *workspace, x exchange, most int) *sockets {
	ports := packet.NewSourcePorts()
	m := &sockets{workspace: space, exchange: x, errors: packet.NewErrorQueue(), ports: ports}
	m.kind, m.protocol = x.socket()
	tcp := m.kind == unix.SOCK_STREAM && m.protocol == 0
	ports.Narrow = ports.Narrow && tcp
	// A datagram socket would keep what has arrived, and one that is bound its port.
	if ports.Narrow {
		m.pool = newPool(most)
	}
	return m
}

func (m *sockets) add(p *pair) {
	p.state = &socketState{
		address: packet.NewSocketAddress(p.to), family: packet.FamilyOf(p.to.Addr()),
		request: m.exchange.request(p.to),
	}
}

func (m *sockets) remove(*pair)                 {}
func (m *sockets) poll(replies []reply) []reply { return replies }
func (m *sockets) pollInterval() time.Duration  { return 0 }

func (m *sockets) close() error {
	if m.pool == nil {
		return nil
	}
	return m.pool.close()
}

// release keeps the probe's socket for another, if it can, and else closes it.
func (m *sockets) release(e *entry) {
	if e.fd == none {
		return
	}
	m.bySocket[e.fd] = none
	if m.pool == nil || !m.pool.put(e.pair.state.(*socketState).family, e.fd) {
		closeSocket(e.fd)
	}
	e.fd = none
}

// launch begins the connections of the probes.
func (m *sockets) launch(batch []int32, replies []reply) []reply {
	for _, i := range batch {
		e := &m.table.entries[i]
		state := e.pair.state.(*socketState)
		err := m.takeSocket(i, e, state)
		e.sent = m.clock.now()
		if err == nil {
			err = m.connect(e, state)
		}
		e.sentBy = m.clock.now()

		a := attempt{e, i, state.request, e.sentBy}
		switch {
		case err == nil, errors.Is(err, unix.EINPROGRESS) && m.connected(e):
			replies = m.exchange.opened(a, replies)
		case !errors.Is(err, unix.EINPROGRESS):
			replies = append(replies, a.is(m.classify(e, err), err))
		}
	}
	return replies
}

// connect begins a connection from the probe's port, or where that is not to be had, from another
// that has rested.
func (m *sockets) connect(e *entry, state *socketState) error {
	for try := 1; ; try++ {
		err := m.ports.Choose(e.fd, state.family, e.port)
		if err == nil {
			err = state.address.Connect(e.fd)
		}
		if try == maxPortTries || !packet.PortTaken(err) {
			return err
		}
		m.anotherPort(e)
	}
}

// anotherPort gives a probe another port. The entry of an earlier probe's flow stays beside its
// own.
func (m *sockets) anotherPort(e *entry) {
	now := m.clock.now()
	if e.again {
		e.until, e.again = m.conntrack.move(now, 0, e.until), false
	}
	e.port, e.turn = e.pair.ports.take(now)
}

// connected reports whether a connection under way is open by now, and nothing else: an answer from
// nearby has come when connect(2) returns, and is read sooner and more cheaply than by an event.
// Where none is expected it is not looked for.
func (m *sockets) connected(e *entry) bool {
	if !e.pair.overdue.expected() {
		return false
	}
	m.look[0] = unix.PollFd{Fd: e.fd, Events: unix.POLLOUT}
	n, err := unix.Poll(m.look[:], 0)
	return err == nil && n == 1 && m.look[0].Revents == unix.POLLOUT
}

// takeSocket gives the probe a socket: one that has been used, or a new one. Sockets are watched
// for as long as they live. What is reported is always how they are when the worker asks: that they
// were not connected says nothing once they are.
func (m *sockets) takeSocket(i int32, e *entry, state *socketState) error {
	if m.pool != nil {
		e.fd = m.pool.take(state.family)
	}
	if e.fd == none {
		var err error
		if e.fd, err = m.newSocket(state.family); err != nil {
			return noProbe{err}
		}
	}
	m.bySocket[e.fd] = i
	return nil
}

// newSocket makes a socket that is watched.
func (m *sockets) newSocket(family packet.Family) (int32, error) {
	if m.pool != nil {
		m.pool.admit(family)
	}

	socket, err := openSocket(family, m.kind, m.protocol)
	if err == nil {
		err = m.poller.watch(socket, socket)
	}
	if err != nil {
		closeSocket(socket) // what is not watched is of no use to a later probe either
		if m.pool != nil {
			m.pool.alive--
		}
		return none, err
	}

	for int(socket) >= len(m.bySocket) {
		m.bySocket = append(m.bySocket, none)
	}

	return socket, nil
}

// noProbe is the error of a probe that never left: it says nothing about the network.
type noProbe struct{ error }

// ready reads what an event of a socket is about.
func (m *sockets) ready(socket int32, events uint32, replies []reply) []reply {
	if int(socket) >= len(m.bySocket) || m.bySocket[socket] == none {
		return replies // that its connection was dissolved, or it is the control's
	}

	i := m.bySocket[socket]
	e := &m.table.entries[i]
	a := attempt{e, i, e.pair.state.(*socketState).request, m.clock.now()}
	switch {
	case e.pair.stopped: // nobody wants to know, but a table has an entry of it
		return append(replies, a.is(measure.Unanswered, errCancelled))
	case m.kind == unix.SOCK_DGRAM:
		return m.readDatagram(a, events, replies)
	case e.asked:
		return m.readResponse(a, events, replies)
	default:
		return m.readConnection(a, events, replies)
	}
}

// readResponse takes what has arrived on a connection, and after it the error that ended it, if one
// did: in the order in which they came, however late they are looked at.
func (m *sockets) readResponse(a attempt, events uint32, replies []reply) []reply {
	if events&^unix.EPOLLOUT == 0 {
		return replies // that there is room to send more
	}

	message, icmp := m.newestICMP(a.fd, events)
	replies, err := m.exchange.read(a, replies)
	switch {
	case err == nil:
		return replies
	case icmp:
		return append(replies, a.is(icmpVerdict(message), err))
	default: // it was open: a server that closes it denies nothing
		return append(replies, a.is(measure.Unanswered, err))
	}
}

// readDatagram takes what has arrived on a datagram socket.
func (m *sockets) readDatagram(a attempt, events uint32, replies []reply) []reply {
	err := socketError(a.fd, events)
	if err == nil && events&unix.EPOLLIN != 0 {
		// which takes an error that has come since the event
		replies, err = m.exchange.read(a, replies)
	}
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		replies = append(replies, a.is(m.classify(a.entry, err), err))
	}
	return replies
}

// readConnection looks at a connection that was under way.
func (m *sockets) readConnection(a attempt, events uint32, replies []reply) []reply {
	err := socketError(a.fd, events)
	switch {
	case err != nil && !hadOpened(err):
		return append(replies, a.is(m.classify(a.entry, err), err))
	case err == nil && events&unix.EPOLLOUT == 0:
		return replies
	}

	m.newestICMP(a.fd, events) // to an earlier probe of this socket, which came too late for that
	if a.at.since(a.sent) >= MaxTimeout && retransmitted(a.fd) {
		return append(replies, a.is(measure.Ambiguous, errRetransmitted))
	}
	replies = m.exchange.opened(a, replies)
	// What was there to read before there was a request will not be reported again.
	if a.asked && events&(unix.EPOLLIN|unix.EPOLLHUP) != 0 {
		replies = m.readResponse(a, events, replies)
	}
	return replies
}

var errRetransmitted = errors.New("the kernel sent the SYN again, since the process stood still: " +
	"which of the two was answered is not known")

// retransmitted reports whether the kernel has sent something again on a connection (tcp(7),
// TCP_INFO).
func retransmitted(socket int32) bool {
	info, err := unix.GetsockoptTCPInfo(int(socket), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err != nil || info.Total_retrans > 0
}

// hadOpened reports whether a connection that ended by this error was open before: a reset that
// answers a SYN is ECONNREFUSED, a later one ECONNRESET, or EPIPE where the target had ended its
// half (RFC 9293, section 3.10.7; tcp(7)).
func hadOpened(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// newestICMP takes the newest ICMP error that an event tells of.
func (m *sockets) newestICMP(socket int32, events uint32) (message packet.ICMPError, is bool) {
	if events&unix.EPOLLERR == 0 {
		return packet.ICMPError{}, false
	}
	return m.errors.Newest(int(socket))
}

// classify tells why a probe failed. The socket's error queue knows whether the error came as an
// ICMP message (ip(7), IP_RECVERR); without an entry there, ECONNREFUSED was a reset.
func (m *sockets) classify(e *entry, err error) measure.Verdict {
	var never noProbe
	if errors.As(err, &never) || e.fd == none {
		return measure.Ambiguous
	}
	message, icmp := m.errors.Newest(int(e.fd))
	// To a datagram that nobody listens for, a host answers "port unreachable"
	// (RFC 1122, section 4.1.3.1).
	if icmp && (m.kind != unix.SOCK_DGRAM || !errors.Is(err, unix.ECONNREFUSED)) {
		return icmpVerdict(message)
	}
	return errorVerdict(err)
}
