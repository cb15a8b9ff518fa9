// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// neighbour is an address on a device's link.
type neighbour struct {
	device  int
	address netip.Addr
}

// neighbours are the link-layer addresses that the kernel knows. A neighbour that it is still
// asking for is none.
type neighbours map[neighbour][6]byte

// nudValid are the states in which the kernel sends to a neighbour (linux/neighbour.h).
const nudValid = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE |
	unix.NUD_NOARP | unix.NUD_PERMANENT

// sizeofNdMsg is the size of struct ndmsg: family, padding, device, state, flags and type
// (rtnetlink(7)).
const sizeofNdMsg = 12

// note takes in a neighbour's message, and reports whether anything is new.
func (all neighbours) note(deleted bool, data []byte) (changed bool) {
	if len(data) < sizeofNdMsg || (data[0] != unix.AF_INET && data[0] != unix.AF_INET6) {
		return false
	}
	attributes, err := nl.ParseRouteAttr(data[sizeofNdMsg:])
	if err != nil {
		return false
	}
	about := neighbour{device: int(int32(binary.NativeEndian.Uint32(data[4:])))}
	var hardware []byte
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.NDA_DST:
			about.address, _ = netip.AddrFromSlice(a.Value)
		case unix.NDA_LLADDR:
			hardware = a.Value
		}
	}

	before, known := all[about]
	state := binary.NativeEndian.Uint16(data[8:])
	if deleted || state&nudValid == 0 || len(hardware) != 6 {
		delete(all, about)
		return known
	}
	all[about] = [6]byte(hardware)
	return !known || before != [6]byte(hardware)
}

// readNeighbours asks the kernel for all that it knows.
func readNeighbours(socket *netlinkSocket) (neighbours, error) {
	all := make(neighbours)
	anyone := &rawData{make([]byte, sizeofNdMsg)}
	err := socket.request(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, []nl.NetlinkRequestData{anyone},
		func(data []byte) { all.note(false, data) })
	return all, err
}

// rawData is the part of a request that package nl has no type for.
type rawData struct{ bytes []byte }

// Len implements [nl.NetlinkRequestData].
func (d *rawData) Len() int { return len(d.bytes) }

// Serialize implements [nl.NetlinkRequestData].
func (d *rawData) Serialize() []byte { return d.bytes }
