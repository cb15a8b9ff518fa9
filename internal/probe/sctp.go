// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// sctpConnect succeeds when the one-to-one style SCTP association opens (RFC 6458, section 4).
type sctpConnect struct{ connect }

func (sctpConnect) socket() (kind, protocol int) { return unix.SOCK_STREAM, unix.IPPROTO_SCTP }

// newSCTP finds out first whether the kernel has SCTP: most load it on demand, some have none.
func newSCTP(space *workspace, most int) (*sockets, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, fmt.Errorf("use probe mode sctp: this kernel has no SCTP (module sctp): "+
			"use another mode, or load the module on the node: %w", err)
	}
	_ = unix.Close(fd) // it was only to be opened
	return newSockets(space, sctpConnect{}, most), nil
}
