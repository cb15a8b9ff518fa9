// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// wire is a socket that sends frames to a device. It is bound to it, so that the kernel need not read with every frame
// which one is meant, and it receives none (packet(7): protocol 0).
type wire struct{ device, socket int }

// wires are those of a prober. There is one for each device that a route has led to.
type wires []wire

// to is the socket that sends to a device; none where the kernel does not let this process have one.
func (all *wires) to(device int) int {
	if i := slices.IndexFunc(*all, func(one wire) bool { return one.device == device }); i >= 0 {
		return (*all)[i].socket
	}
	socket, err := openWire(device)
	if err != nil {
		socket = none // the sockets that the kernel routes for do its work
	}
	*all = append(*all, wire{device, socket})
	return socket
}

func openWire(device int) (int, error) {
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return none, fmt.Errorf("open a packet socket: %w", os.NewSyscallError("socket", err))
	}
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Ifindex: device}); err != nil {
		return none, errors.Join(fmt.Errorf("send to device %d: %w", device, os.NewSyscallError("bind", err)), unix.Close(socket))
	}
	return socket, nil
}

func (all *wires) close() error {
	var errs []error
	for _, one := range *all {
		if one.socket != none {
			errs = append(errs, unix.Close(one.socket))
		}
	}
	*all = nil
	return errors.Join(errs...)
}
