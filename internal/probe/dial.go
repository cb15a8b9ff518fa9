// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// errTimeout is the reason of a connection that got no answer in time.
var errTimeout = errors.New("open the connection: no answer in time")

// dial opens a TCP connection without help from net.Dialer, which hides what a probe needs to know:
// whether a refusal was a reset or an ICMP message, and who sent it. The connection is nil, and the
// outcome says why, unless it opened; the outcome's verdict is then left to the caller. Closing the
// connection resets it, so that it leaves no TIME_WAIT behind (socket(7), SO_LINGER).
func dial(ctx context.Context, to netip.AddrPort, timeout time.Duration) (*os.File, measure.Outcome) {
	socket, err := newSocket(to.Addr())
	if err != nil {
		now := time.Now()
		return nil, measure.Outcome{Verdict: measure.Ambiguous, Sent: now, Done: now, Err: err}
	}
	outcome := measure.Outcome{Sent: time.Now()}
	err = unix.Connect(socket, sockaddr(to))
	// Only now may the runtime's poller see the socket: before connect it would report a hang-up.
	connection := os.NewFile(uintptr(socket), "probe")
	if errors.Is(err, unix.EINPROGRESS) {
		err = await(ctx, connection, outcome.Sent.Add(timeout))
	}
	outcome.Done = time.Now()
	if err == nil {
		return connection, outcome
	}
	outcome.Verdict, outcome.Err = classify(err, connection), err
	_ = connection.Close()
	return nil, outcome
}

func newSocket(to netip.Addr) (int, error) {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	if to.Is6() && !to.Is4In6() {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	socket, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(socket, level, option, 1),
		unix.SetsockoptLinger(socket, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
	)
	if err != nil {
		_ = unix.Close(socket)
		return -1, os.NewSyscallError("setsockopt", err)
	}
	return socket, nil
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	address := to.Addr().Unmap()
	if address.Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: address.As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: address.As16()}
}

// await waits until the pending connection has opened or failed, the deadline has passed or the
// context has ended.
func await(ctx context.Context, connection *os.File, deadline time.Time) error {
	raw, err := connection.SyscallConn()
	if err != nil {
		return err
	}
	if err := connection.SetWriteDeadline(deadline); err != nil {
		return err
	}
	release := closeWhenDone(ctx, connection)
	defer release()
	var result error
	err = raw.Write(func(socket uintptr) (done bool) {
		done, result = connected(int(socket))
		return done
	})
	switch {
	case err == nil:
		return result
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTimeout
	default:
		return err
	}
}

// connected reports whether a pending connection has been decided, and how.
func connected(socket int) (done bool, err error) {
	code, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return true, os.NewSyscallError("getsockopt", err)
	}
	if code != 0 {
		return true, os.NewSyscallError("connect", unix.Errno(code))
	}
	if _, err := unix.Getpeername(socket); err != nil {
		return false, nil // ENOTCONN: still under way
	}
	return true, nil
}
