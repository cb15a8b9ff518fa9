// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package nfqueue

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pacer is a server that is busy with one packet at a time, and with each as long.
type pacer struct {
	each time.Duration
	last time.Time // when it is done with the packets so far
}

func newPacer(rate int) *pacer { return &pacer{each: time.Second / time.Duration(rate)} }

// done is when it is done with a packet that arrives now, behind those that came before.
func (p *pacer) done(arrived time.Time) time.Time {
	if p.last.Before(arrived) {
		p.last = arrived
	}
	p.last = p.last.Add(p.each)
	return p.last
}

// maxSleep is how soon a server that is slow notices that it is to end.
const maxSleep = 100 * time.Millisecond

// issueVerdicts accepts packets in order, each when the pacer is done with it, until the
// channel is closed or ctx ends. A sleep that was too long delays its own packet only: the
// pacer's times come from the arrivals alone.
func issueVerdicts(
	ctx context.Context, packets <-chan packet, pace *pacer, sleep func(time.Duration),
	accept func(id uint32) error,
) error {
	// The thread's timers are its own (see preciseSleep).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	for p := range packets {
		done := pace.done(p.arrived)
		for left := time.Until(done); left > 0; left = time.Until(done) {
			sleep(min(left, maxSleep))
			if ctx.Err() != nil {
				return nil
			}
		}
		if err := accept(p.id); err != nil {
			return err
		}
	}

	return nil
}

// preciseSleep blocks the calling thread. The runtime's timers are late by up to a millisecond when
// the process has nothing else to do, which is the time of twenty fast verdicts.
func preciseSleep(d time.Duration) {
	// Both are a matter of precision only: without the first the kernel is 50 µs late
	// (PR_SET_TIMERSLACK(2const)), and the caller looks at the clock after the second.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	wait := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&wait, nil)
}
