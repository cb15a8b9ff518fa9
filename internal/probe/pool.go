// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// spare is the most sockets of a family that wait for a next use: what ends in one turn of the worker is launched
// again in the next, and more would only hold the kernel's memory.
const spare = 2 * perTurn

// pool holds TCP sockets whose connections are dissolved, by family. Making a socket, watching it and freeing it costs the
// kernel as much as a connection that nobody answers.
//
// To dissolve a connection (connect(2), AF_UNSPEC) is on the wire what it is to close its socket with SO_LINGER 0: one
// that is open is reset, one that is not yet is forgotten. The kernel then takes a new port for the next connection, as it does
// for a new socket.
type pool struct{ sockets [2][]int32 }

func newPool() *pool {
	return &pool{sockets: [2][]int32{make([]int32, 0, spare), make([]int32, 0, spare)}}
}

// take returns a socket of a family, none if none waits.
func (p *pool) take(family int) int32 {
	waiting := p.sockets[family]
	if len(waiting) == 0 {
		return none
	}
	last := len(waiting) - 1
	p.sockets[family] = waiting[:last]
	return waiting[last]
}

// put dissolves the connection of a socket and keeps it, or reports false if there is no room, or the kernel cannot.
func (p *pool) put(family int, socket int32) bool {
	if len(p.sockets[family]) == spare || disconnect(socket) != nil {
		return false
	}
	p.sockets[family] = append(p.sockets[family], socket)
	return true
}

func (p *pool) close() error {
	var all []error
	for _, waiting := range p.sockets {
		for _, socket := range waiting {
			all = append(all, unix.Close(int(socket)))
		}
	}
	p.sockets = [2][]int32{}
	return errors.Join(all...)
}

// disconnect dissolves a socket's connection. It never waits, so that the runtime need not be told (see worker.sleep).
func disconnect(socket int32) error {
	address := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	if _, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(socket), uintptr(unsafe.Pointer(&address)),
		unsafe.Sizeof(address)); errno != 0 {
		return errno
	}
	return nil
}
