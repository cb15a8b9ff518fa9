// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package cost measures what a probe costs, beside other ways to probe, all in turns in one run.
package cost

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// Work is what a number of probes took.
type Work struct {
	Probes int
	// CPU is the processor time of the process and of its children, with the kernel's share. On a veth
	// pair the kernel carries a packet through router and target in the sender's time.
	CPU time.Duration
	// Mallocs counts allocations of the Go runtime, Memory is the most that was resident, in bytes.
	Mallocs uint64
	Memory  int64
}

// Each is the processor time of one probe.
func (w Work) Each() time.Duration { return w.CPU / time.Duration(max(w.Probes, 1)) }

// Add puts two pieces of work together.
func (w Work) Add(other Work) Work {
	return Work{
		Probes: w.Probes + other.Probes, CPU: w.CPU + other.CPU, Mallocs: w.Mallocs + other.Mallocs,
		Memory: max(w.Memory, other.Memory),
	}
}

// meter measures this process from its making on.
type meter struct {
	cpu     time.Duration
	mallocs uint64
}

func newMeter() (meter, error) {
	cpu, err := used()
	return meter{cpu, mallocs()}, err
}

// read is the work since the meter was made.
func (m meter) read(probes int) (Work, error) {
	cpu, err := used()
	if err != nil {
		return Work{}, err
	}
	memory, err := flat.Resident()
	return Work{Probes: probes, CPU: cpu - m.cpu, Mallocs: mallocs() - m.mallocs, Memory: memory}, err
}

func mallocs() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

// used is the processor time of this process and of its children that have ended (getrusage(2)).
func used() (time.Duration, error) {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			return 0, fmt.Errorf("read the processor time: %w", err)
		}
		total += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return total, nil
}
