// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package flat

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Resident is the most that this process has had in memory, in bytes. The maximum in getrusage(2)
// is no use: a child inherits its parent's.
func Resident() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read the memory that was used: %w", err)
	}
	return parseMemory(string(status))
}

// parseMemory reads VmHWM (proc_pid_status(5)), in bytes.
func parseMemory(status string) (int64, error) {
	for line := range strings.Lines(status) {
		var kibibytes int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kibibytes); err == nil {
			return kibibytes << 10, nil
		}
	}
	return 0, errors.New("read the memory that was used: the status has no VmHWM")
}
