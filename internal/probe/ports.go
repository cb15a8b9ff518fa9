// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// Connection tracking remembers a flow for a while. A later probe with the same addresses and ports
// is a packet of that flow to it, and passes as established, whatever policy says by then: it would
// be taken for a return to the old state, or for a leak. So no source port is used again for a
// target before it has rested, by no pair that has this target, unless nothing has answered from
// it ([flow]).
const (
	// tcpRest is longer than the entry of a connection lives that was reset, udpRest than that of
	// an exchange of datagrams: 30 s in Linux (nf_conntrack_udp_timeout), 60 s in engines with
	// tables of their own. An exchange does not become a stream, whose entry lives longer, since
	// that takes a further datagram of the same flow.
	tcpRest = tcpEntryLife + MaxTimeout
	udpRest = 60*time.Second + MaxTimeout

	// maxPortTries is how many ports a probe tries: some may be reserved, or another socket's.
	maxPortTries = 8
)

// portRange are the source ports of a mode. The zero value is that of a mode whose probes have none
// of their own.
type portRange struct {
	first uint16
	count int
	rest  time.Duration
}

// portsOf are the source ports of a mode.
func portsOf(mode Mode) portRange {
	switch mode {
	case Established:
		return portRange{} // there is one connection for each pair, however many probes
	case SYN:
		return portRange{packet.FirstPort, 1<<16 - packet.FirstPort, tcpRest}
	}

	rest := tcpRest
	if mode == UDP {
		rest = udpRest
	}
	first, last := localPorts()
	return portRange{uint16(first), last - first + 1, rest}
}

// localPorts are the first and the last port that the kernel gives to connections by itself
// (ip(7), ip_local_port_range): others may be those of servers.
func localPorts() (first, last int) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		_, err = fmt.Sscan(string(text), &first, &last)
	}
	if err != nil || first < 1 || last < first {
		return 32768, 60999 // the kernel's default
	}
	return first, last
}

// sourcePorts has the ports of all targets of a worker, also of those that no pair has any more but
// whose ports still rest.
type sourcePorts struct {
	portRange
	byTarget map[netip.AddrPort]*ports
	sweepAt  int // how many targets there are when those that are not needed are dropped
}

func newSourcePorts(of portRange) sourcePorts {
	return sourcePorts{portRange: of, byTarget: make(map[netip.AddrPort]*ports)}
}

// of are the ports of a target, for one pair more; nil where probes have no ports.
func (s *sourcePorts) of(target netip.AddrPort, now instant) *ports {
	if s.count == 0 {
		return nil
	}
	p, known := s.byTarget[target]
	if !known {
		s.sweep(now)
		p = newPorts(s.portRange)
		s.byTarget[target] = p
	}
	p.pairs++
	return p
}

// sweep drops the targets that no pair has and whose ports have rested, once there are many.
func (s *sourcePorts) sweep(now instant) {
	if len(s.byTarget) < s.sweepAt {
		return
	}
	for target, p := range s.byTarget {
		if p.pairs == 0 && now.since(p.used.at) > s.rest {
			delete(s.byTarget, target)
		}
	}
	s.sweepAt = 2*len(s.byTarget) + 64
}

// ports hands out the source ports of one target by rotation. Half of them can be used at once, and
// after that as many in the time of a rest as are left: so a port has rested when its turn comes.
type ports struct {
	portRange
	used  bucket
	next  int
	turn  uint32 // how many have been handed out
	pairs int    // how many pairs there are with this target
	// answered is the turn of a port that was handed out long ago and has been answered since: it
	// is not its turn again before resting is over.
	answered uint32
	resting  instant
}

func newPorts(of portRange) *ports {
	return &ports{
		portRange: of, next: rand.N(of.count),
		used: bucket{rate: float64(of.count) / 2 / of.rest.Seconds()},
	}
}

// wait is how long it takes until there is a port that may be used, zero if there is one.
func (p *ports) wait(now instant) time.Duration {
	if now < p.resting && p.turn-p.answered >= uint32(p.count-maxPortTries) {
		return time.Duration(p.resting - now)
	}
	return p.used.until(float64(p.count)/2-maxPortTries, now)
}

// take is the next port, and its turn.
func (p *ports) take(now instant) (port uint16, turn uint32) {
	p.used.fill(1, now)
	port = uint16(int(p.first) + p.next)
	p.next = (p.next + 1) % p.count
	p.turn++
	return port, p.turn
}

// again reports whether the port of a turn may be used again at once: its next turn is far away.
func (p *ports) again(turn uint32) bool { return p.turn-turn <= uint32(p.count/2) }

// answer has the port of a turn rest, since a later probe from it was answered.
func (p *ports) answer(turn uint32, now instant) {
	if now >= p.resting || int32(turn-p.answered) < 0 {
		p.answered = turn
	}
	p.resting = now + instant(p.rest)
}

// bucket follows how much of something there was lately: it is filled, and drains at a rate. In any
// time no more can have come than it was allowed to hold, and what drains meanwhile.
type bucket struct {
	rate  float64 // what drains in a second
	level float64
	at    instant // when the level was right
}

// fill adds an amount.
func (b *bucket) fill(amount float64, now instant) { b.level = b.drained(now) + amount }

// drained is the level, after what has drained by now.
func (b *bucket) drained(now instant) float64 {
	b.level = max(0, b.level-b.rate*time.Duration(now-b.at).Seconds())
	b.at = now
	return b.level
}

// until is the time that it takes to drain to a level.
func (b *bucket) until(level float64, now instant) time.Duration {
	return time.Duration(max(0, b.drained(now)-level) / b.rate * float64(time.Second))
}
