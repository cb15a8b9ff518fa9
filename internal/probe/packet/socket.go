// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// None is the descriptor of no socket.
const None = -1

// receiveBuffer is what the kernel is asked to keep of answers, in bytes, so that nothing is lost
// while this process does not run.
const receiveBuffer = 4 << 20

// OpenTCP opens a raw socket that sends segments, and receives the answers to SYNs.
func OpenTCP(family Family) (int, error) {
	return openRaw(family, unix.IPPROTO_TCP, tcpFilter(family))
}

// OpenICMP opens a raw socket that receives ICMP errors.
func OpenICMP(family Family) (int, error) {
	protocol := [Families]int{unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6}[family]
	return openRaw(family, protocol, icmpFilter(family))
}

// openRaw opens a raw socket whose packets carry the kernel's time of their arrival (raw(7),
// socket(7)).
func openRaw(family Family, protocol int, filter []bpf.Instruction) (_ int, err error) {
	kind := unix.SOCK_RAW | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	socket, err := unix.Socket(family.Domain(), kind, protocol)
	if err != nil {
		return None, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unix.Close(socket))
		}
	}()

	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return None, os.NewSyscallError("setsockopt", err)
	}
	// A smaller buffer only loses answers under load, of which Dropped tells.
	_ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	return socket, attach(socket, filter)
}

// Dropped is how many packets the kernel has not kept for a socket so far, for want of room in its
// buffer (linux/sock_diag.h, SK_MEMINFO_DROPS), 0 if it does not say.
func Dropped(socket int) uint32 {
	const drops, count = 8, 9 // of the values that there are
	var values [count]uint32
	length := uint32(unsafe.Sizeof(values))
	_, _, _ = unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(socket), unix.SOL_SOCKET,
		unix.SO_MEMINFO, uintptr(unsafe.Pointer(&values[0])), uintptr(unsafe.Pointer(&length)), 0)
	return values[drops]
}

// Devices are sockets that send frames, one for each device. Each is bound to it, so that the
// kernel need not read with every frame which one is meant, and it receives none (packet(7):
// protocol 0).
type Devices struct{ sockets map[int]int }

// Socket is the socket that sends to a device, None where the kernel does not let this process have
// one.
func (d *Devices) Socket(device int) int {
	if socket, is := d.sockets[device]; is {
		return socket
	}
	socket, err := openDevice(device)
	if err != nil {
		socket = None // the sockets that the kernel routes for do its work
	}
	if d.sockets == nil {
		d.sockets = make(map[int]int)
	}
	d.sockets[device] = socket
	return socket
}

func openDevice(device int) (int, error) {
	kind := unix.SOCK_RAW | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	socket, err := unix.Socket(unix.AF_PACKET, kind, 0)
	if err != nil {
		return None, fmt.Errorf("open a packet socket: %w", os.NewSyscallError("socket", err))
	}
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Ifindex: device}); err != nil {
		err = fmt.Errorf("send to device %d: %w", device, os.NewSyscallError("bind", err))
		return None, errors.Join(err, unix.Close(socket))
	}
	return socket, nil
}

// Close closes all of them. Those of devices that are asked for afterwards are opened again.
func (d *Devices) Close() error {
	var all []error
	for _, socket := range d.sockets {
		if socket != None {
			all = append(all, unix.Close(socket))
		}
	}
	d.sockets = nil
	return errors.Join(all...)
}

// Gone reports whether an error of sending says that a device is no longer there, or down
// (packet(7)).
func Gone(err error) bool {
	return errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) ||
		errors.Is(err, unix.ENETDOWN)
}
