// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// errICMP is the reason of a probe that an ICMP message ended.
var errICMP = errors.New("wait for the answer: an ICMP message came")

// syn is the prober that builds SYNs itself and reads the answers from raw sockets, which get what
// the pod's own stack lets in. The stack itself answers a SYN-ACK that it did not ask for with a
// reset, so that nothing half-open is left in the target.
type syn struct {
	*workspace
	// Of each family, the socket that sends and receives TCP, that which receives ICMP, and how
	// many pairs there are to read for.
	tcp, icmp [packet.Families]int
	pairs     [packet.Families]int
	dropped   [packet.Families]uint32 // what the kernel has not kept for the first

	routes   *packet.Routes
	told     instant // when the kernel was last asked what has changed about them
	gone     bool    // a device that was sent to is no more
	batch    *packet.Batch
	sending  [packet.BatchSize]int32 // the entries of the batch's SYNs
	routed   [packet.BatchSize]int32 // of those that the kernel is to route
	receiver *packet.Receiver
}

// synState is what the prober keeps for a pair.
type synState struct {
	path    packet.Path
	address packet.SocketAddress
	probes  uint16 // how many there were
}

func newSYN(space *workspace) (_ *syn, err error) {
	m := &syn{
		workspace: space,
		tcp:       [packet.Families]int{none, none}, icmp: [packet.Families]int{none, none},
		batch: packet.NewBatch(), receiver: packet.NewReceiver(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()

	for _, family := range []packet.Family{packet.IPv4, packet.IPv6} {
		m.tcp[family], err = packet.OpenTCP(family)
		if errors.Is(err, unix.EAFNOSUPPORT) && family == packet.IPv6 {
			err = nil // a kernel without IPv6
			break
		}
		if err == nil {
			m.icmp[family], err = packet.OpenICMP(family)
		}
		if errors.Is(err, unix.EPERM) {
			return m, fmt.Errorf("use probe mode syn: raw sockets need the capability NET_RAW: "+
				"add it to the container's security context, or use another mode: %w", unix.EPERM)
		}
		if err != nil {
			return m, fmt.Errorf("use probe mode syn: %w", err)
		}
	}
	m.routes = packet.OpenRoutes()
	return m, nil
}

func (m *syn) close() error {
	var all []error
	if m.routes != nil {
		all = append(all, m.routes.Close())
	}
	for family := range m.tcp {
		for _, socket := range []int{m.tcp[family], m.icmp[family]} {
			if socket != none {
				all = append(all, unix.Close(socket))
			}
		}
	}
	return errors.Join(all...)
}

// pollInterval is how often answers are read: they carry the kernel's time, so a moment's wait
// costs nothing, as long as the smallest buffer that a kernel may give (212,992 bytes) holds what
// arrives meanwhile.
func (m *syn) pollInterval() time.Duration { return 2 * time.Millisecond }

// release has nothing to do: no probe has a socket.
func (m *syn) release(*entry) {}

// ready has nothing to do: no socket is watched.
func (m *syn) ready(_ int32, _ uint32, replies []reply) []reply { return replies }

func (m *syn) add(p *pair) {
	m.pairs[packet.FamilyOf(p.to.Addr())]++
	p.state = &synState{
		// the port is in the segment
		address: packet.NewSocketAddress(netip.AddrPortFrom(p.to.Addr(), 0)),
	}
}

func (m *syn) remove(p *pair) { m.pairs[packet.FamilyOf(p.to.Addr())]-- }

const (
	// routedEvery is how many probes of a pair lie between two that the kernel routes itself. That
	// keeps its tables right: it asks for neighbours that it sends to, and only for those.
	routedEvery = 256
	// routesEvery is how often the kernel is asked what has changed about routes.
	routesEvery = instant(10 * time.Millisecond)
)

// launch sends the SYNs of probes: as frames where the next hop is known, the others by the raw
// socket of their family.
func (m *syn) launch(batch []int32, replies []reply) []reply {
	m.pollRoutes()
	routed, socket := m.routed[:0], none
	for _, i := range batch {
		e := &m.table.entries[i]
		state := e.pair.state.(*synState)
		if err := m.routes.Update(&state.path, e.pair.to); err != nil {
			e.sent = m.clock.now()
			e.sentBy = e.sent
			replies = append(replies, reply{entry: i, verdict: measure.Unreachable, at: e.sent,
				err: err})
			continue
		}
		if state.path.Socket == none || state.probes%routedEvery == 0 {
			routed = append(routed, i)
			continue
		}

		if state.path.Socket != socket {
			replies = m.flush(socket, replies)
			socket = state.path.Socket
		}
		m.name(i, e, state)
		m.sending[m.batch.Len()] = i
		m.batch.AddFrame(&state.path.Frame, e.port, e.sequence)
	}
	replies = m.flush(socket, replies)

	for family := range m.tcp {
		for _, i := range routed {
			e := &m.table.entries[i]
			if packet.FamilyOf(e.pair.to.Addr()) == packet.Family(family) {
				m.addRouted(i, e)
			}
		}
		replies = m.flush(m.tcp[family], replies)
	}
	return replies
}

// addRouted adds a SYN that the kernel routes to the batch.
func (m *syn) addRouted(i int32, e *entry) {
	state := e.pair.state.(*synState)
	m.name(i, e, state)
	source := netip.AddrPortFrom(state.path.Source, e.port)
	m.sending[m.batch.Len()] = i
	m.batch.AddSegment(&state.address, source, e.pair.to, e.sequence)
}

// pollRoutes takes in what has changed about routes, every now and then.
func (m *syn) pollRoutes() {
	now := m.clock.now()
	if now-m.told < routesEvery {
		return
	}
	m.told = now
	if m.gone {
		m.routes.DeviceGone()
		m.gone = false
	}
	m.routes.Poll()
}

// name gives a probe its sequence number. The entry's number is in it, together with chance, so
// that an answer finds its probe and nothing else can be taken for one. Where the flow is that of
// an earlier probe the number is higher: connection tracking takes a lower one for what has gone
// astray, and its answer for invalid.
func (m *syn) name(i int32, e *entry, state *synState) {
	state.probes++
	above := rand.Uint32()
	if e.again {
		above = e.sequence>>entryBits + 1
	}
	e.sequence = above<<entryBits | uint32(i)
}

// entryBits are enough for the number of an entry: 100,000 probes a second for a second and more.
const entryBits = 18

// flush sends the batch. A SYN that the kernel does not take is told apart from the others.
func (m *syn) flush(socket int, replies []reply) []reply {
	for first := 0; first < m.batch.Len(); {
		before := m.clock.now()
		sent, err := m.batch.Send(socket, first)
		after := m.clock.now()
		for _, i := range m.sending[first : first+max(sent, 1)] {
			m.table.entries[i].sent, m.table.entries[i].sentBy = before, after
		}
		if err != nil {
			m.gone = m.gone || packet.Gone(err)
			i := m.sending[first]
			replies = append(replies, reply{entry: i, verdict: errorVerdict(err), at: after,
				err: err})
			sent = 1
		}
		first += sent
	}

	m.batch.Clear()
	return replies
}

// poll reads the answers that have come.
func (m *syn) poll(replies []reply) []reply {
	for family := range m.tcp {
		if m.pairs[family] == 0 || m.tcp[family] == none {
			continue
		}
		replies = m.receive(m.receiver.TCP, family, m.tcp[family], replies)
		replies = m.receive(m.receiver.ICMP, family, m.icmp[family], replies)

		if dropped := packet.Dropped(m.tcp[family]); dropped != m.dropped[family] {
			m.dropped[family] = dropped
			replies = append(replies, reply{entry: none, at: m.clock.now()})
		}
	}
	return replies
}

// receive reads all answers that a socket has.
func (m *syn) receive(
	read func(socket int, family packet.Family) ([]packet.Answer, bool),
	family, socket int, replies []reply,
) []reply {
	for more := true; more; {
		var answers []packet.Answer
		answers, more = read(socket, packet.Family(family))
		// One reading of both clocks serves the whole batch.
		now, wall := m.clock.now(), time.Now().UnixNano()
		for i := range answers {
			answer, at := &answers[i], now
			if answer.Arrived != 0 {
				at -= instant(max(0, wall-answer.Arrived))
			}
			if one, is := m.match(answer, at); is {
				replies = append(replies, one)
			}
		}
	}

	return replies
}

// match finds the probe that an answer is for.
func (m *syn) match(a *packet.Answer, at instant) (one reply, is bool) {
	i := int32(a.Sequence & (1<<entryBits - 1))
	if int(i) >= len(m.table.entries) {
		return reply{}, false
	}

	e := &m.table.entries[i]
	if e.phase != launched || e.sequence != a.Sequence || e.port != a.Port || e.pair.to != a.From {
		return reply{}, false
	}

	switch {
	case a.IsError:
		return reply{entry: i, verdict: icmpVerdict(a.Error), at: at, err: errICMP}, true
	case a.Open:
		return reply{entry: i, verdict: measure.Allowed, at: at}, true
	default:
		return reply{entry: i, verdict: measure.Refused, at: at, err: unix.ECONNREFUSED}, true
	}
}
