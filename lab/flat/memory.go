// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package flat

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Resident is the most that this process has had in memory, in bytes (proc_pid_status(5), VmHWM).
func Resident() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read the memory that was used: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		var kibibytes int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kibibytes); err == nil {
			return kibibytes << 10, nil
		}
	}
	return 0, errors.New("read the memory that was used: /proc/self/status has no VmHWM")
}
