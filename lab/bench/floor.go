// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The floor's frames leave in batches like the engine's.
const (
	floorBatch  = 16
	floorFrames = 100_000
)

// beat is how long the paced floor sleeps at least, and the mode syn with as many pairs.
const beat = time.Millisecond

// floor sends frames that are ready and does nothing else: no probe can cost less. At rate 0 they
// leave as fast as they can; else so many a second, with sleep in between, after which a processor
// is slower for a while. That is the lot of everything that keeps a schedule.
func floor(rate float64) func(context.Context, Turn) (Reading, error) {
	return func(ctx context.Context, turn Turn) (r Reading, err error) {
		frames, device, err := readyFrames(turn)
		if err != nil {
			return r, err
		}
		socket, err := openPacket(device)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, unix.Close(socket)) }()
		messages := newMessages(frames)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		// Without this the kernel may wake a thread 50 µs later than it asks
		// (PR_SET_TIMERSLACK(2const)).
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // it costs precision only
		return spend(func() (int64, error) { return sendFrames(ctx, socket, messages, rate) })
	}
}

// sendFrames sends the messages again and again until there were enough.
func sendFrames(
	ctx context.Context, socket int, messages []message, rate float64,
) (sent int64, err error) {
	for start := time.Now(); sent < floorFrames && ctx.Err() == nil; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(socket),
			uintptr(unsafe.Pointer(&messages[0])),
			uintptr(len(messages)), 0, 0, 0)
		if errno != 0 {
			return sent, fmt.Errorf("send frames: %w", os.NewSyscallError("sendmmsg", errno))
		}
		sent += int64(n)
		if rate > 0 && time.Duration(float64(sent)/rate*float64(time.Second)) > time.Since(start) {
			pause := unix.NsecToTimespec(int64(beat))
			_ = unix.Nanosleep(&pause, nil) // EINTR only makes it shorter
		}
	}

	return sent, ctx.Err()
}

// readyFrames crafts a batch of frames for the router, and tells the device that they are for.
func readyFrames(turn Turn) ([][]byte, *net.Interface, error) {
	device, err := net.InterfaceByName(wire)
	if err != nil {
		return nil, nil, fmt.Errorf("find %s: %w", wire, err)
	}

	router, err := net.ParseMAC(turn.Router)
	if err != nil {
		return nil, nil, fmt.Errorf("read the router's address: %w", err)
	}

	from := netip.AddrPortFrom(netip.MustParseAddr("10.90.0.2"), 40_000)
	var frames [][]byte
	for _, to := range turn.State.targets(floorBatch) {
		frames = append(frames, newFrame(device.HardwareAddr, router, from, to))
	}

	return frames, device, nil
}

// openPacket opens a socket that sends frames and receives none (packet(7): protocol 0).
func openPacket(device *net.Interface) (int, error) {
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a packet socket: %w", os.NewSyscallError("socket", err))
	}
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Ifindex: device.Index}); err != nil {
		return -1, errors.Join(fmt.Errorf("send to %s: %w", device.Name,
			os.NewSyscallError("bind", err)), unix.Close(socket))
	}
	return socket, nil
}

// message is the kernel's struct mmsghdr (sendmmsg(2)).
type message struct {
	header unix.Msghdr
	_      [8]byte // how many bytes were sent
}

func newMessages(frames [][]byte) []message {
	messages, vectors := make([]message, len(frames)), make([]unix.Iovec, len(frames))
	for i, frame := range frames {
		vectors[i].Base = &frame[0]
		vectors[i].SetLen(len(frame))
		messages[i].header.Iov = &vectors[i]
		messages[i].header.SetIovlen(1)
	}
	return messages
}
