// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// batch is how many packets one call sends, as our mode syn does.
const batch = 16

// sink is the network whose packets the router drops as soon as it sees them.
func sink() netip.Prefix { return netip.MustParsePrefix("10.91.255.0/24") }

// dropAtIngress has the router drop what goes to the sink before it has looked at it: nobody can send a
// packet for less.
func dropAtIngress(router *netns.Namespace) error {
	connection, err := nftables.New(nftables.WithNetNSFd(router.Fd()))
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := connection.AddTable(&nftables.Table{Name: "floor", Family: nftables.TableFamilyNetdev})
	chain := connection.AddChain(&nftables.Chain{
		Name: "ingress", Table: table, Type: nftables.ChainTypeFilter, Device: "client",
		Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter,
	})
	prefix := sink().Addr().As4()
	connection.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 3},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: prefix[:3]},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	if err := connection.Flush(); err != nil {
		return fmt.Errorf("drop at the router's ingress: %w", err)
	}
	return nil
}

// frame is an Ethernet frame with a TCP SYN to the sink. Nobody reads its checksums.
func frame(from, router net.HardwareAddr) []byte {
	bytes := make([]byte, 14+20+20)
	copy(bytes[0:], router)
	copy(bytes[6:], from)
	binary.BigEndian.PutUint16(bytes[12:], unix.ETH_P_IP)
	packet := bytes[14:]
	packet[0], packet[8], packet[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(packet[2:], 40)
	copy(packet[12:], []byte{10, 90, 0, 2})
	target := sink().Addr().Next().As4()
	copy(packet[16:], target[:])
	packet[20+12], packet[20+13] = 5<<4, 2
	return bytes
}

// message is the kernel's struct mmsghdr (sendmmsg(2)).
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// floor sends ready-made frames from a packet socket.
func floor(router net.HardwareAddr, probes int, rate float64) (Work, error) {
	wire, err := net.InterfaceByName("eth0")
	if err != nil {
		return Work{}, fmt.Errorf("find the wire: %w", err)
	}
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Work{}, fmt.Errorf("open a packet socket: %w", os.NewSyscallError("socket", err))
	}
	defer func() { _ = unix.Close(socket) }() // nothing was received on it
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Ifindex: wire.Index}); err != nil {
		return Work{}, fmt.Errorf("open a packet socket: %w", os.NewSyscallError("bind", err))
	}
	bytes := frame(wire.HardwareAddr, router)
	vector := unix.Iovec{Base: &bytes[0]}
	vector.SetLen(len(bytes))
	messages := make([]message, batch)
	for i := range messages {
		messages[i].header.Iov = &vector
		messages[i].header.SetIovlen(1)
	}
	m, err := newMeter()
	if err != nil {
		return Work{}, err
	}
	planned := time.Now()
	for sent := 0; sent < probes; sent += batch {
		_, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(socket), uintptr(unsafe.Pointer(&messages[0])), batch, 0, 0, 0)
		if errno != 0 {
			return Work{}, fmt.Errorf("send frames: %w", errno)
		}
		planned = planned.Add(batch * pace(rate))
		if ahead := time.Until(planned); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
	}
	return m.read(probes)
}
