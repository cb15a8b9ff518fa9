// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// eventsAtOnce is of how many sockets the poller tells at once.
const eventsAtOnce = 128

// poller waits for events of sockets, for a time, or until another goroutine wakes it.
type poller struct {
	epoll   int
	eventfd int
	poll    []unix.PollFd // the epoll descriptor
	events  [eventsAtOnce]unix.EpollEvent
	shared  bool // other threads may run Go code beside the poller's
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("wait for answers: %w", os.NewSyscallError("epoll_create1", err))
	}

	eventfd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		err = fmt.Errorf("wait for commands: %w", os.NewSyscallError("eventfd", err))
		return nil, errors.Join(err, unix.Close(epoll))
	}

	p := &poller{
		epoll: epoll, eventfd: eventfd, shared: runtime.GOMAXPROCS(0) > 1,
		poll: []unix.PollFd{{Fd: int32(epoll), Events: unix.POLLIN}},
	}

	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: none}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, eventfd, &event); err != nil {
		err = fmt.Errorf("wait for commands: %w", os.NewSyscallError("epoll_ctl", err))
		return nil, errors.Join(err, p.close())
	}

	return p, nil
}

func (p *poller) close() error {
	return errors.Join(unix.Close(p.epoll), unix.Close(p.eventfd))
}

// watch has what happens on a socket be told, by a number that is 0 or more.
func (p *poller) watch(socket, number int32) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET, Fd: number}
	err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, int(socket), &event)
	return os.NewSyscallError("epoll_ctl", err)
}

// wake ends a wait. Any goroutine may call it.
func (p *poller) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(p.eventfd, one[:]) // it can only fail once the poller is closed
}

// wait returns what has happened, at the latest when the time is over, which never comes if it is
// below zero. What it returns is valid until the next call.
func (p *poller) wait(timeout time.Duration) []unix.EpollEvent {
	if timeout != 0 && !p.sleep(timeout) {
		return nil
	}
	n, err := unix.EpollWait(p.epoll, p.events[:], 0)
	if err != nil {
		return nil // EINTR; there is no other error that could come and go
	}

	happened := p.events[:0]
	for _, event := range p.events[:n] {
		if event.Fd == none {
			var count [8]byte
			// what it was woken for is for the caller to look at
			_, _ = unix.Read(p.eventfd, count[:])
			continue
		}
		happened = append(happened, event)
	}
	return happened
}

// maxInlineSleep is the longest wait in which the thread keeps its place in Go's runtime.
const maxInlineSleep = 2 * time.Millisecond

// sleep waits until something has happened or the time is over, for ever if that is below zero. It
// reports whether something may have happened.
//
// Go's runtime takes the right to run Go code from a thread that waits in the kernel, and as long
// as it finds one to take it looks for more every 20 µs (runtime.sysmon). A wait every millisecond
// would keep it at that, at a twentieth of what the probes cost; and a busy process would let the
// thread queue for the right when it is woken. So a short wait does not tell the runtime, unless
// this is the only thread that may run: a signal, as for a collection of garbage, ends it early.
func (p *poller) sleep(timeout time.Duration) bool {
	if timeout < 0 {
		n, err := unix.Ppoll(p.poll, nil, nil)
		return n > 0 || err != nil
	}
	wait := unix.NsecToTimespec(int64(timeout))
	if timeout > maxInlineSleep || !p.shared {
		n, err := unix.Ppoll(p.poll, &wait, nil)
		return n > 0 || err != nil // EINTR is as good as a time-out
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p.poll[0])), 1,
		uintptr(unsafe.Pointer(&wait)), 0, 0, 0)
	return n > 0 || errno != 0
}
