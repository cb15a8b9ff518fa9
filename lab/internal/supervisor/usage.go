// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// ticksPerSecond is the unit of times in /proc/PID/stat, on every Linux.
const ticksPerSecond = 100

// cpuTime is the processor time of a process and of its children that have ended: programs such as
// iptables do the work of some engines.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return parseCPUTime(stat)
}

// parseCPUTime reads utime, stime, cutime and cstime (proc_pid_stat(5)): the eleventh field after
// the name, which may hold anything, and the next three.
func parseCPUTime(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const first, count = 11, 4
	if len(fields) < first+count {
		return 0, fmt.Errorf("read processor time: %w", io.ErrUnexpectedEOF)
	}

	ticks := 0
	for _, field := range fields[first : first+count] {
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}
