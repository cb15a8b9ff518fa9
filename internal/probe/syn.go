// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Where answers are read into.
const (
	receiveBatch  = 32
	receiveBytes  = 128 // an answer and, of an ICMP message, all of the segment that it quotes
	controlBytes  = 64
	receiveBuffer = 4 << 20 // of the kernel, so that nothing is lost while this process does not run
)

// The origins of an icmpError (recvmsg(2), struct sock_extended_err).
const (
	originICMP  = unix.SO_EE_ORIGIN_ICMP
	originICMP6 = unix.SO_EE_ORIGIN_ICMP6
)

// raw is the prober of the mode syn. It sends crafted SYNs and reads the answers from raw sockets, which
// get what the pod's own stack lets in. The stack itself answers a SYN-ACK that it did not ask for with
// a reset, so that nothing half-open is left in the target.
type raw struct {
	// Of each family, the socket that sends and receives TCP, and that which receives ICMP.
	tcp, icmp [2]int
	pairs     [2]int // and how many there are to listen for
	out       [batch]message
	vectors   [batch]unix.Iovec
	segments  [batch][segmentSize]byte
	sending   [batch]int32 // the slots of the messages
	// wires send whole frames, which costs half: past the kernel's routing, whose tables are read every now and
	// then instead.
	wires  wires
	frames [batch]frame
	hops   *nexthops
	read   instant // when the tables were read
	missed bool    // and whether they lacked something, or what they said is no longer so

	in        [receiveBatch]message
	inVectors [receiveBatch]unix.Iovec
	inNames   [receiveBatch][unix.SizeofSockaddrInet6]byte
	inBytes   [receiveBatch][receiveBytes]byte
	inControl [receiveBatch][controlBytes]byte

	ports uint16 // where the rotation of ports began
}

func newRaw() (_ *raw, err error) {
	m := &raw{tcp: [2]int{none, none}, icmp: [2]int{none, none}, ports: uint16(rand.N(1 << 15))}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	for six, family := range []int{unix.AF_INET, unix.AF_INET6} {
		protocol := [2]int{unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6}[six]
		m.tcp[six], err = openRaw(family, unix.IPPROTO_TCP)
		if errors.Is(err, unix.EAFNOSUPPORT) && six == 1 {
			return m.link(), nil // a kernel without IPv6
		}
		if err == nil {
			err = attach(m.tcp[six], tcpFilter(six == 1))
		}
		if err == nil {
			m.icmp[six], err = openRaw(family, protocol)
		}
		if err == nil {
			err = attach(m.icmp[six], icmpFilter(six == 1))
		}
		if err != nil {
			return m, err
		}
	}
	return m.link(), nil
}

// openRaw opens a raw socket whose packets carry the kernel's time of their arrival (raw(7), socket(7)).
func openRaw(family, protocol int) (int, error) {
	socket, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if errors.Is(err, unix.EPERM) {
		return none, fmt.Errorf("use probe mode syn: raw sockets need the capability NET_RAW: "+
			"add it to the container's security context, or use another mode: %w", err)
	}
	if err != nil {
		return none, fmt.Errorf("use probe mode syn: %w", os.NewSyscallError("socket", err))
	}
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return none, errors.Join(fmt.Errorf("use probe mode syn: %w", os.NewSyscallError("setsockopt", err)),
			unix.Close(socket))
	}
	// A smaller buffer only loses answers under load, which the verdict then shows.
	_ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	return socket, nil
}

// link points the messages at their buffers.
func (m *raw) link() *raw {
	for i := range m.out {
		m.out[i].header.Iov = &m.vectors[i]
		m.out[i].header.SetIovlen(1)
	}
	for i := range m.in {
		m.inVectors[i] = unix.Iovec{Base: &m.inBytes[i][0]}
		m.inVectors[i].SetLen(receiveBytes)
		m.in[i].header.Iov = &m.inVectors[i]
		m.in[i].header.SetIovlen(1)
		m.in[i].header.Name = &m.inNames[i][0]
		m.in[i].header.Control = &m.inControl[i][0]
	}
	return m
}

func (m *raw) close() error {
	all := []error{m.wires.close()}
	for _, socket := range []int{m.tcp[0], m.tcp[1], m.icmp[0], m.icmp[1]} {
		if socket != none {
			all = append(all, unix.Close(socket))
		}
	}
	return errors.Join(all...)
}

// every is how often answers are read: they carry the kernel's time, so a moment's wait costs nothing, as long as the
// smallest buffer that a kernel may give (212,992 bytes) holds what arrives meanwhile.
func (m *raw) every() time.Duration { return 2 * time.Millisecond }

// release has nothing to do: no slot has a socket.
func (m *raw) release(*worker, *slot) {}

// ready has nothing to do: no socket is watched.
func (m *raw) ready(*worker, int32, uint32) {}

func (m *raw) forget(p *Pair) { m.pairs[family(p)]-- }

// prepare writes the pair's address. The port is in the segment: a raw socket takes none (ipv6(7)).
func (m *raw) prepare(p *Pair) {
	m.pairs[family(p)]++
	p.ports = m.ports + uint16(p.number*97)
	p.raw = newRawAddress(p.to.Addr(), 0)
}

// sourceFor is the address that the kernel uses towards another: what a connected datagram socket is
// bound to, which sends nothing.
func sourceFor(to netip.AddrPort) (netip.Addr, error) {
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the way to %s: %w", to.Addr(), err)
	}
	defer socket.Close()
	return socket.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// tablesLast is how long the kernel's tables are taken to be as they were, and tablesMissed how long if
// they did not have what was looked for: the kernel may just be asking for it.
const (
	tablesLast   = instant(time.Second)
	tablesMissed = instant(100 * time.Millisecond)
)

// throughKernel is how many probes of a pair lie between two that the kernel routes itself. That keeps
// its tables right: it asks for neighbours that it sends to, and only for those.
const throughKernel = 256

// send crafts the SYNs of the slots and sends them: as frames where the next hop is known, the others by
// the raw socket of their family.
func (m *raw) send(w *worker, slots []int32) {
	m.look(w)
	n, wire := 0, none
	for _, i := range slots {
		s := &w.flight.slots[i]
		if s.phase != launched || !m.hop(s) {
			continue
		}
		if s.pair.wire != wire {
			m.flush(w, wire, n)
			n, wire = 0, s.pair.wire
		}
		if s.phase == launched {
			m.craftFrame(w, i, n)
			n++
		}
	}
	m.flush(w, wire, n)
	for six := range m.tcp {
		n := 0
		for _, i := range slots {
			s := &w.flight.slots[i]
			if s.phase == launched && s.port == 0 && family(s.pair) == six && m.craft(w, i, n) {
				n++
			}
		}
		m.flush(w, m.tcp[six], n)
	}
}

// look reads the kernel's tables again if that was too long ago.
func (m *raw) look(w *worker) {
	now := w.clock.now()
	last := tablesLast
	if m.missed {
		last = tablesMissed
	}
	if m.hops != nil && now-m.read < last {
		return
	}
	hops, err := readNexthops()
	if err != nil {
		hops = &nexthops{} // then the kernel routes every packet
	}
	if m.missed {
		_ = m.wires.close() // one may belong to a device that is no more
	}
	m.hops, m.read, m.missed = hops, now, false
}

// hop finds where the slot's probe leaves to, and reports false if this is one for the kernel to route.
func (m *raw) hop(s *slot) bool {
	p := s.pair
	if p.hops != m.hops && p.source.IsValid() {
		m.address(p)
	}
	return p.wire != none && p.probes%throughKernel != 0
}

// address finds where the pair's probes leave to, and writes what they have in common. What goes to this host itself is
// always for the kernel.
func (m *raw) address(p *Pair) {
	p.hops, p.wire = m.hops, none
	to := p.to.Addr()
	if !to.Is4() || p.source == to || to.IsLoopback() {
		return
	}
	hop, known := m.hops.find(to)
	if known {
		p.frame, p.wire = newFrame(hop, p.source, p.to), m.wires.to(hop.device)
	}
	m.missed = m.missed || !known
}

// name gives the slot's probe its port and its sequence number. The slot's number is in the latter,
// together with chance, so that an answer finds its probe and nothing else can be taken for one.
func (m *raw) name(s *slot, i int32) {
	p := s.pair
	p.probes++
	s.port = firstPort + (p.ports+p.probes)%(1<<15)
	s.sequence = uint32(i)<<(32-slotBits) | rand.Uint32()>>slotBits
}

// craftFrame writes the frame of a slot into a message.
func (m *raw) craftFrame(w *worker, i int32, n int) {
	s := &w.flight.slots[i]
	m.name(s, i)
	m.frames[n] = s.pair.frame.named(s.port, s.sequence)
	m.vectors[n].Base = &m.frames[n][0]
	m.vectors[n].SetLen(frameSize)
	m.out[n].header.Name, m.out[n].header.Namelen = nil, 0 // the socket is bound to its device
	m.sending[n] = i
}

// craft writes the SYN of a slot into a message.
func (m *raw) craft(w *worker, i int32, n int) bool {
	s := &w.flight.slots[i]
	p := s.pair
	if !p.source.IsValid() {
		var err error
		if p.source, err = sourceFor(p.to); err != nil {
			s.sent = w.clock.now()
			s.sentBy = s.sent
			w.end(i, measure.Unreachable, s.sent, err)
			return false
		}
	}
	m.name(s, i)
	putSYN(&m.segments[n], netip.AddrPortFrom(p.source, s.port), p.to, s.sequence)
	m.vectors[n].Base = &m.segments[n][0]
	m.vectors[n].SetLen(segmentSize)
	m.out[n].header.Name = &p.raw.bytes[0]
	m.out[n].header.Namelen = p.raw.length
	m.sending[n] = i
	return true
}

// slotBits are enough for the number of a slot: 100,000 probes a second for a second and more.
const slotBits = 18

// gone reports whether an error says that a device is no longer there or down (packet(7)).
func gone(err error) bool {
	return errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENETDOWN)
}

// flush sends the first n messages. One that the kernel does not take is told apart from the others.
func (m *raw) flush(w *worker, socket, n int) {
	for first := 0; first < n; {
		before := w.clock.now()
		sent, err := sendMessages(socket, m.out[first:n])
		after := w.clock.now()
		for _, i := range m.sending[first : first+max(sent, 1)] {
			w.flight.slots[i].sent, w.flight.slots[i].sentBy = before, after
		}
		if err != nil {
			m.missed = m.missed || gone(err)
			w.end(m.sending[first], verdictOf(err), after, err)
			sent = 1
		}
		first += sent
	}
}

// poll reads the answers that have come.
func (m *raw) poll(w *worker) {
	for six := range m.tcp {
		if m.pairs[six] == 0 {
			continue
		}
		m.receive(w, m.tcp[six], six == 1, false)
		m.receive(w, m.icmp[six], six == 1, true)
	}
}

func (m *raw) receive(w *worker, socket int, six, icmp bool) {
	for n := receiveBatch; socket != none && n == receiveBatch; {
		for i := range m.in {
			m.in[i].header.Namelen = unix.SizeofSockaddrInet6
			m.in[i].header.SetControllen(controlBytes)
		}
		n = receiveMessages(socket, m.in[:])
		// One reading of both clocks serves the whole batch.
		now, wall := w.clock.now(), time.Now().UnixNano()
		for i := range m.in[:n] {
			a, ok := m.parse(i, six, icmp)
			if ok {
				m.match(w, a, now-instant(max(0, wall-m.stamp(i, wall))))
			}
		}
	}
}

// parse reads the packet in a message.
func (m *raw) parse(i int, six, icmp bool) (answer, bool) {
	packet := m.inBytes[i][:min(int(m.in[i].length), receiveBytes)]
	var from netip.Addr
	if six {
		from = netip.AddrFrom16([16]byte(m.inNames[i][8:24]))
	} else {
		var ok bool
		if packet, from, _, _, ok = payload4(packet); !ok {
			return answer{}, false
		}
	}
	if icmp {
		return parseICMPError(packet, six)
	}
	return parseTCP(packet, from)
}

// stamp is the kernel's time of a message's arrival, by the wall clock, and otherwise if there is none.
func (m *raw) stamp(i int, otherwise int64) int64 {
	header := &m.in[i].header
	control := m.inControl[i][:header.Controllen]
	if len(control) < unix.CmsgLen(16) {
		return otherwise
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if c.Level != unix.SOL_SOCKET || c.Type != unix.SO_TIMESTAMPNS {
		return otherwise
	}
	data := control[unix.CmsgLen(0):]
	return int64(binary.NativeEndian.Uint64(data))*int64(time.Second) + int64(binary.NativeEndian.Uint64(data[8:]))
}

// match ends the probe that an answer is for, if there is one.
func (m *raw) match(w *worker, a answer, at instant) {
	i := int32(a.sequence >> (32 - slotBits))
	if int(i) >= len(w.flight.slots) {
		return
	}
	s := &w.flight.slots[i]
	if s.phase != launched || s.sequence != a.sequence || s.port != a.port || s.pair.to != a.from {
		return
	}
	switch {
	case a.icmp.origin != 0:
		w.end(i, a.icmp.verdict(), at, errICMP)
	case a.open:
		w.end(i, measure.Allowed, at, nil)
	default:
		w.end(i, measure.Refused, at, unix.ECONNREFUSED)
	}
}

// errICMP is the reason of a probe that an ICMP message ended.
var errICMP = errors.New("wait for the answer: an ICMP message came")
