// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// register32 is the first of the 4-byte registers (NFT_REG32_00), which concatenations are made in.
const register32 = unix.NFT_REG32_00

// family is an IP version.
type family int

const (
	ipv4 family = 4
	ipv6 family = 6
)

// families is what to range over, as over a slice of them.
func families(yield func(int, family) bool) { slices.All([]family{ipv4, ipv6})(yield) }

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

func (f family) String() string { return string('0' + rune(f)) }

// bytes is the size of an address, words the same in 4-byte registers.
func (f family) bytes() uint32 { return map[family]uint32{ipv4: 4, ipv6: 16}[f] }
func (f family) words() uint32 { return f.bytes() / 4 }

// match restricts a rule to the family.
func (f family) match() []expr.Any {
	number := map[family]byte{ipv4: unix.NFPROTO_IPV4, ipv6: unix.NFPROTO_IPV6}[f]
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}
}

// end is the source or the destination of a packet.
type end int

const (
	source end = iota
	destination
)

// own is the end of the pod that a direction is about, peer is the other end.
func (d direction) own() end  { return map[direction]end{ingress: destination, egress: source}[d] }
func (d direction) peer() end { return 1 - d.own() }

// directionOf reads the direction off the name of a guard or policy.
func directionOf(id string) direction {
	if strings.HasPrefix(id, egress.String()+" ") {
		return egress
	}
	return ingress
}

// load puts an address of the packet into a register.
func (f family) load(at end, register uint32) []expr.Any {
	offset := map[family]uint32{ipv4: 12, ipv6: 8}[f] + uint32(at)*f.bytes()
	return []expr.Any{&expr.Payload{
		DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.bytes(),
	}}
}

// loadPort puts the destination port, which TCP, UDP and SCTP have at the same place, into a
// register.
func loadPort(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2,
		Len: 2}
}

func lookup(set string) expr.Any { return lookupFrom(set, 1) }

func lookupFrom(set string, register uint32) expr.Any {
	return &expr.Lookup{SourceRegister: register, SetName: set}
}

// lookupVerdict carries out the verdict that a map has for register 1.
func lookupVerdict(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: set, IsDestRegSet: true}}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

func jump(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}

func reject(kind uint32, code uint8) []expr.Any {
	return []expr.Any{&expr.Reject{Type: kind, Code: code}}
}

func matchProtocol(number byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}
}

// matchEstablished matches replies, and errors about packets that passed.
func matchEstablished() []expr.Any {
	states := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: states,
			Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// matchNeighbourDiscovery matches ICMPv6 router and neighbour messages, types 133 to 137 (RFC
// 4861).
func matchNeighbourDiscovery() []expr.Any {
	return append(matchProtocol(unix.IPPROTO_ICMPV6),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: []byte{133}, ToData: []byte{137}})
}

func protocolNumber(name string) byte {
	return map[string]byte{"TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP,
		"SCTP": unix.IPPROTO_SCTP}[name]
}

func port(number uint16) []byte { return binary.BigEndian.AppendUint16(nil, number) }

func mask(p netip.Prefix) []byte { return net.CIDRMask(p.Bits(), p.Addr().BitLen()) }

// elementKey is how the kernel stores a member: the address, and the port in a 4-byte word of its
// own.
func elementKey(m truth.Member) []byte {
	key := m.Address.AsSlice()
	if m.Port != 0 {
		key = append(append(key, port(m.Port)...), 0, 0)
	}
	return key
}
