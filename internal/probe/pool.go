// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// pool holds TCP sockets whose connections are dissolved, by family. Making a socket, watching it
// and freeing it costs the kernel as much as a connection that nobody answers.
//
// To dissolve a connection (connect(2), AF_UNSPEC) is to the network what it is to close its socket
// with SO_LINGER 0: one that is open is reset, one that is not yet is forgotten. The kernel then
// takes a new port for the next connection, as it does for a new socket.
type pool struct {
	waiting [packet.Families][]int32
	alive   int // sockets that wait or are in use
	most    int // of these: as many as probes that can be in flight
	nowhere packet.SocketAddress
}

func newPool(most int) *pool {
	p := &pool{most: most, nowhere: packet.NoAddress()}
	for family := range p.waiting {
		p.waiting[family] = make([]int32, 0, most)
	}
	return p
}

// take returns a socket of a family, none if none waits.
func (p *pool) take(family packet.Family) int32 {
	waiting := p.waiting[family]
	if len(waiting) == 0 {
		return none
	}
	last := len(waiting) - 1
	p.waiting[family] = waiting[:last]
	return waiting[last]
}

// admit counts a new socket of a family that is about to be made. If there are as many as there may
// be, one of the other family makes room.
func (p *pool) admit(family packet.Family) {
	if p.alive >= p.most {
		if other := p.take(1 - family); other != none {
			closeSocket(other) // it has no connection, so nothing can be lost
			p.alive--
		}
	}
	p.alive++
}

// put dissolves the connection of a socket and keeps it, or reports false if the kernel cannot: it
// is to be closed then, and counts no more.
func (p *pool) put(family packet.Family, socket int32) bool {
	if p.nowhere.Connect(socket) != nil {
		p.alive--
		return false
	}
	p.waiting[family] = append(p.waiting[family], socket)
	return true
}

func (p *pool) close() error {
	var all []error
	for family, waiting := range p.waiting {
		for _, socket := range waiting {
			all = append(all, unix.Close(int(socket)))
		}
		p.waiting[family] = nil
	}
	return errors.Join(all...)
}
