// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// probedPorts are open on every host, for every protocol.
var probedPorts = [...]int32{80, 81}

var protocols = [...]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}

// attempt is one connection to be tried, and what became of it.
type attempt struct {
	from, to *host
	family   family
	protocol corev1.Protocol
	port     int32
	outcome  outcome
}

type outcome string

const (
	answered    outcome = "answered"
	silent      outcome = "silent"
	refused     outcome = "refused"     // by a TCP reset, or an ICMP port unreachable
	unreachable outcome = "unreachable" // by another ICMP message
)

func (a attempt) String() string {
	return fmt.Sprintf("%s -> %s %s/%d IPv%v", a.from.name, a.to.name, a.protocol, a.port, a.family)
}

func (h *host) address(f family) netip.Addr {
	for _, a := range h.addresses {
		if familyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// everyAttempt is all hosts to all others, in all ways.
func everyAttempt(hosts []*host) []*attempt {
	var all []*attempt
	for _, from := range hosts {
		for _, to := range hosts {
			for _, f := range families {
				for _, protocol := range protocols {
					for _, port := range probedPorts {
						if from != to {
							all = append(all, &attempt{from: from, to: to, family: f,
								protocol: protocol, port: port})
						}
					}
				}
			}
		}
	}
	return all
}

// try makes all attempts at once and waits until each is decided or the time is up.
func try(t testing.TB, attempts []*attempt, timeout time.Duration) {
	t.Helper()
	bySource := map[*host][]*attempt{}
	for _, a := range attempts {
		bySource[a.from] = append(bySource[a.from], a)
	}
	var group errgroup.Group
	for from, list := range bySource {
		group.Go(func() error {
			return from.ns.Do(func() error { return from.try(list, time.Now().Add(timeout)) })
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// try runs on a thread in the host's namespace.
func (h *host) try(attempts []*attempt, deadline time.Time) error {
	var waiting []*attempt
	var polled []unix.PollFd
	defer func() {
		for _, p := range polled {
			_ = unix.Close(int(p.Fd)) // the attempt has its outcome
		}
	}()
	arrivals := map[*attempt]<-chan struct{}{}
	for _, a := range attempts {
		a.outcome = silent
		if a.protocol == corev1.ProtocolSCTP {
			arrived, err := h.sctp[a.family].send(a)
			if err != nil {
				return err
			}
			arrivals[a] = arrived
			continue
		}
		fd, err := a.open()
		if err != nil {
			return fmt.Errorf("%v: %w", a, err)
		}
		if fd < 0 {
			continue
		}
		polled = append(polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT})
		if a.protocol == corev1.ProtocolUDP {
			polled[len(polled)-1].Events = unix.POLLIN
		}
		waiting = append(waiting, a)
	}
	if err := await(polled, waiting, deadline); err != nil {
		return err
	}
	for a, arrived := range arrivals {
		if isClosedBy(arrived, deadline) {
			a.outcome = answered
		}
	}
	return nil
}

// isClosedBy waits for a channel, and looks at it even when the time is up already.
func isClosedBy(c <-chan struct{}, deadline time.Time) bool {
	select {
	case <-c:
		return true
	default:
	}
	select {
	case <-c:
		return true
	case <-time.After(time.Until(deadline)):
		return false
	}
}

// open sends the first packet of a TCP or UDP attempt. The descriptor is negative if the outcome is
// known already.
func (a *attempt) open() (int, error) {
	domain, kind := unix.AF_INET, unix.SOCK_STREAM
	if a.family == ipv6 {
		domain = unix.AF_INET6
	}
	if a.protocol == corev1.ProtocolUDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if kind == unix.SOCK_STREAM {
		// No TIME_WAIT is left behind.
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER,
			&unix.Linger{Onoff: 1}); err != nil {
			return -1, errors.Join(err, unix.Close(fd))
		}
	}
	// A source port of its own: the router lets packets of connections pass that it has seen
	// before.
	a.from.lastPort++
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(a.from.address(a.family),
		a.from.lastPort))); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	err = unix.Connect(fd, sockaddr(netip.AddrPortFrom(a.to.address(a.family), uint16(a.port))))
	if err == nil && kind == unix.SOCK_DGRAM {
		_, err = unix.Write(fd, []byte("ping"))
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		a.outcome = outcomeOf(err)
		return -1, unix.Close(fd)
	}
	return fd, nil
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	if to.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return answered
	case errors.Is(err, unix.ECONNREFUSED):
		return refused
	}
	return unreachable
}

// await waits until every socket has an answer or an error.
func await(polled []unix.PollFd, attempts []*attempt, deadline time.Time) error {
	open := len(polled)
	pending := make([]unix.PollFd, len(polled))
	copy(pending, polled)
	for open > 0 {
		left := time.Until(deadline)
		if left <= 0 {
			return nil
		}
		n, err := unix.Poll(pending, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for answers: %w", err)
		}
		for i := range pending {
			if n <= 0 || pending[i].Fd < 0 || pending[i].Revents == 0 {
				continue
			}
			code, err := unix.GetsockoptInt(int(pending[i].Fd), unix.SOL_SOCKET, unix.SO_ERROR)
			if err != nil {
				return err
			}
			attempts[i].outcome = answered
			if code != 0 {
				attempts[i].outcome = outcomeOf(unix.Errno(code))
			}
			pending[i].Fd = -1
			open--
		}
	}
	return nil
}

// listen opens the probed ports for TCP, a UDP echo on the same, and a raw SCTP socket.
func (h *host) listen(t testing.TB) {
	t.Helper()
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	h.sctp = map[family]*sctpSocket{}
	err := h.ns.Do(func() error {
		for _, port := range probedPorts {
			listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = listener.Close() }) // it only ends the serving
			serving.Go(func() { acceptAll(listener) })
			for _, address := range h.addresses {
				// Bound to the address, so that it is the one that answers.
				packets, err := net.ListenPacket("udp",
					netip.AddrPortFrom(address, uint16(port)).String())
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = packets.Close() }) // the same
				serving.Go(func() { echo(packets) })
			}
		}
		for _, f := range families {
			conn, err := net.ListenPacket(fmt.Sprintf("ip%v:%d", f, unix.IPPROTO_SCTP),
				h.address(f).String())
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = conn.Close() }) // the same
			h.sctp[f] = &sctpSocket{conn: conn, expected: map[uint32]chan struct{}{}}
			serving.Go(h.sctp[f].receive)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func acceptAll(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.Close() // nothing was written
	}
}

func echo(conn net.PacketConn) {
	buffer := make([]byte, 64)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = conn.WriteTo(buffer[:n], from)
		}
	}
}

// sctpSocket sends and receives SCTP packets without an SCTP implementation in the kernel. An INIT
// has a random tag, by which the receiver knows it.
type sctpSocket struct {
	conn net.PacketConn

	mu       sync.Mutex
	expected map[uint32]chan struct{}
	lastTag  uint32
}

// send sends an INIT to another host; the channel is closed when it has arrived there.
func (s *sctpSocket) send(a *attempt) (<-chan struct{}, error) {
	tag, arrived := a.to.sctp[a.family].expect()
	_, err := s.conn.WriteTo(sctpInit(uint16(a.port), tag),
		&net.IPAddr{IP: a.to.address(a.family).AsSlice()})
	if err != nil && !errors.Is(err, unix.EPERM) { // what the output hook would say
		return nil, fmt.Errorf("%v: %w", a, err)
	}
	return arrived, nil
}

func (s *sctpSocket) expect() (uint32, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastTag++
	s.expected[s.lastTag] = make(chan struct{})
	return s.lastTag, s.expected[s.lastTag]
}

func (s *sctpSocket) receive() {
	buffer := make([]byte, 1500)
	for {
		n, _, err := s.conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 32 {
			continue
		}
		tag := binary.BigEndian.Uint32(buffer[16:])
		s.mu.Lock()
		if arrived := s.expected[tag]; arrived != nil {
			close(arrived)
			delete(s.expected, tag)
		}
		s.mu.Unlock()
	}
}

// sctpInit is a packet with one INIT chunk (RFC 9260, sections 3.1 and 3.3.2). The source port
// differs from packet to packet, so that each is a new connection for the router.
func sctpInit(port uint16, tag uint32) []byte {
	packet := make([]byte, 32)
	binary.BigEndian.PutUint16(packet[0:], uint16(20000+tag%40000))
	binary.BigEndian.PutUint16(packet[2:], port)
	packet[12] = 1                                   // INIT
	binary.BigEndian.PutUint16(packet[14:], 20)      // length
	binary.BigEndian.PutUint32(packet[16:], tag)     // initiate tag
	binary.BigEndian.PutUint32(packet[20:], 1<<16)   // receiver window
	binary.BigEndian.PutUint32(packet[24:], 1<<16|1) // one stream out, one in
	binary.BigEndian.PutUint32(packet[28:], tag)     // initial TSN
	sum := crc32.Checksum(packet, crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(packet[8:], sum)
	return packet
}
