// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is the kernel's struct mmsghdr (sendmmsg(2)).
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// sendMessages sends as many of the messages as it can at once. An error is that of the first one
// not sent, if none was. Neither this nor receiveMessages ever waits, so that the runtime need not
// be told.
func sendMessages(socket int, messages []message) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(socket),
		uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// receiveMessages fills the messages with what has arrived, and returns how many it filled.
func receiveMessages(socket int, messages []message) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(socket),
		uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0 // EAGAIN, or an error that belongs to no SYN
	}
	return int(n)
}
