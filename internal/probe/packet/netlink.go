// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// netlinkBuffer holds any message of the kernel's, and as many as it packs together (netlink(7)).
const netlinkBuffer = 64 << 10

// netlinkSocket is a conversation with the kernel about routes (rtnetlink(7)). It is had by plain
// system calls, into one buffer: package nl would take a new one of 64 KiB for each answer.
type netlinkSocket struct {
	fd     int
	sent   uint32 // requests so far
	buffer []byte
}

// openNetlink opens a socket that is told of the groups of events.
func openNetlink(groups ...uint) (*netlinkSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	address := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for _, group := range groups {
		address.Groups |= 1 << (group - 1)
	}
	if err := unix.Bind(fd, address); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	return &netlinkSocket{fd: fd, buffer: make([]byte, netlinkBuffer)}, nil
}

func (s *netlinkSocket) close() error { return unix.Close(s.fd) }

// request asks the kernel something, and calls take with each message of the answer, whose data is
// valid for as long as the call. An error of the kernel is a [syscall.Errno].
func (s *netlinkSocket) request(
	kind, flags int, data []nl.NetlinkRequestData, take func(data []byte),
) error {
	r := nl.NewNetlinkRequest(kind, flags)
	s.sent++
	r.Seq, r.Data = s.sent, data
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(s.fd, r.Serialize(), 0, to); err != nil {
		return os.NewSyscallError("sendto", err)
	}

	for {
		messages, err := s.receive(0)
		if err != nil {
			return err
		}
		for _, message := range messages {
			switch {
			case message.Header.Seq != s.sent: // of a request that was given up
			case message.Header.Type == unix.NLMSG_DONE:
				return nil
			case message.Header.Type == unix.NLMSG_ERROR:
				return netlinkError(message.Data)
			default:
				take(message.Data)
				if message.Header.Flags&unix.NLM_F_MULTI == 0 {
					return nil
				}
			}
		}
	}
}

// netlinkError is the error that the kernel answers with, nil if that says that there is none.
func netlinkError(data []byte) error {
	if len(data) < 4 {
		return errors.New("read the kernel's answer: the message is cut short")
	}
	if code := int32(binary.NativeEndian.Uint32(data)); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}

// receive reads what has come: with MSG_DONTWAIT nothing, if nothing has.
func (s *netlinkSocket) receive(flags int) ([]syscall.NetlinkMessage, error) {
	n, _, err := unix.Recvfrom(s.fd, s.buffer, flags)
	for errors.Is(err, unix.EINTR) {
		n, _, err = unix.Recvfrom(s.fd, s.buffer, flags)
	}

	if errors.Is(err, unix.EAGAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("recvfrom", err)
	}

	messages, err := syscall.ParseNetlinkMessage(s.buffer[:n])
	if err != nil {
		return nil, fmt.Errorf("read a message of the kernel: %w", err)
	}

	return messages, nil
}
