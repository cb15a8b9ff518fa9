// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"fmt"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// FirstPort is the lowest source port of SYNs whose answers pass the filters.
const FirstPort = 32768

// A raw socket for IPv4 receives packets with their IP header, one for IPv6 without (raw(7),
// ipv6(7)).

// tcpFilter lets SYN-ACKs and resets to our ports through, and nothing else: raw sockets see all
// segments that the pod receives.
func tcpFilter(family Family) []bpf.Instruction {
	load := func(offset uint32, size int) bpf.Instruction {
		return bpf.LoadIndirect{Off: offset, Size: size}
	}

	begin := bpf.Instruction(bpf.LoadMemShift{Off: 0})
	if family == IPv6 {
		begin = bpf.LoadConstant{Dst: bpf.RegX, Val: 0}
	}

	return []bpf.Instruction{
		begin,
		load(2, 2),
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: FirstPort, SkipTrue: 4},
		load(13, 1),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: flagSYN | flagRST},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	}
}

// icmpFilter lets "destination unreachable" through.
func icmpFilter(family Family) []bpf.Instruction {
	begin, kind := bpf.Instruction(bpf.LoadMemShift{Off: 0}), uint32(icmp4Unreachable)
	if family == IPv6 {
		begin, kind = bpf.LoadConstant{Dst: bpf.RegX, Val: 0}, icmp6Unreachable
	}
	return []bpf.Instruction{
		begin,
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: kind, SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	}
}

// attach installs a filter on a socket.
func attach(socket int, filter []bpf.Instruction) error {
	assembled, err := bpf.Assemble(filter)
	if err != nil {
		return fmt.Errorf("assemble the filter of answers: %w", err)
	}

	program := make([]unix.SockFilter, len(assembled))
	for i, instruction := range assembled {
		program[i] = unix.SockFilter{
			Code: instruction.Op, Jt: instruction.Jt, Jf: instruction.Jf, K: instruction.K,
		}
	}

	err = unix.SetsockoptSockFprog(socket, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err != nil {
		return fmt.Errorf("filter answers: %w", os.NewSyscallError("setsockopt", err))
	}

	return nil
}
