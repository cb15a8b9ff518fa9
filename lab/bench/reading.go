// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// Reading is the state of the counters that a turn moves, or how far they moved.
type Reading struct {
	Probes int64
	// CPU is the user and system time of this process and of the children that it waited for.
	CPU time.Duration
	// Kernel is the time that all processors spent in the kernel, for this process and for all
	// others.
	Kernel time.Duration
	// Allocations are those of this process.
	Allocations int64
	// Sent and Received are packets on the client's wire.
	Sent, Received int64
	// Memory is the most that this process has had resident, in bytes.
	Memory int64
}

// spend measures what a function spends. It returns the number of its probes.
func spend(do func() (probes int64, err error)) (Reading, error) {
	var before, after Reading
	// What is slow to read is read outside of what is precise.
	err := before.readMachine()
	if err == nil {
		err = before.readProcess()
	}
	if err == nil {
		after.Probes, err = do()
	}
	if err == nil {
		err = after.readProcess()
	}
	if err == nil {
		err = after.readMachine()
	}

	return after.since(before), err
}

// readProcess reads the counters of this process.
func (r *Reading) readProcess() error {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	r.Allocations = int64(memory.Mallocs)
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		if err := unix.Getrusage(who, &usage); err != nil {
			return fmt.Errorf("read the processor time: %w", err)
		}
		r.CPU += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return nil
}

// readMachine reads the counters that files tell.
func (r *Reading) readMachine() error {
	return errors.Join(
		parseFile("/proc/stat", func(text string) (err error) {
			r.Kernel, err = parseKernelTime(text)
			return err
		}),
		parseFile("/proc/net/dev", func(text string) (err error) {
			r.Received, r.Sent, err = parsePackets(text, wire)
			return err
		}),
		r.readMemory(),
	)
}

func (r *Reading) readMemory() (err error) {
	r.Memory, err = flat.Resident()
	return err
}

// since is how far the counters moved from an earlier reading to this one. Memory does not move: it
// is a maximum.
func (r Reading) since(earlier Reading) Reading {
	r.Probes -= earlier.Probes
	r.CPU -= earlier.CPU
	r.Kernel -= earlier.Kernel
	r.Allocations -= earlier.Allocations
	r.Sent -= earlier.Sent
	r.Received -= earlier.Received
	return r
}

// perProbe is a part of the reading's processor time, in microseconds.
func (r Reading) perProbe(of time.Duration) float64 {
	return float64(of.Nanoseconds()) / 1000 / float64(r.Probes)
}

// Whether packets met the fate that they were meant to, as parts of the probes, beside strays that
// belong to no probe: the hosts look for each other and for routers.
const (
	most   = 0.9
	few    = 0.1
	strays = 50
)

// check returns an error unless the packets on the wire show that the probes were what they were
// meant to be: a figure for probes that never left would be a very good one.
func (r Reading) check(state State) error {
	probes := float64(r.Probes)
	switch {
	case r.Probes <= 0:
		return errors.New("probe: no probe was made")
	case float64(r.Sent) < most*probes:
		return fmt.Errorf("probe: only %d packets left for %d probes", r.Sent, r.Probes)
	case state == Answered && float64(r.Received) < most*probes:
		return fmt.Errorf("probe: only %d packets came back for %d probes of targets that answer",
			r.Received, r.Probes)
	case state == Dropped && float64(r.Received) > few*probes+strays:
		return fmt.Errorf("probe: %d packets came back for %d probes that the filter drops",
			r.Received, r.Probes)
	}

	return nil
}
