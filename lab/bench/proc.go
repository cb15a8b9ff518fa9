// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// wire is the client's interface.
const wire = "eth0"

// tick is the unit of processor time in /proc/stat: USER_HZ is 100 on every platform that Go runs
// on.
const tick = 10 * time.Millisecond

// parseFile parses a file of /proc.
func parseFile(name string, parse func(string) error) error {
	text, err := os.ReadFile(name)
	if err == nil {
		err = parse(string(text))
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// parseKernelTime reads the time that all processors spent in system calls and interrupts
// (proc_stat(5)).
func parseKernelTime(text string) (time.Duration, error) {
	var user, nice, system, idle, iowait, irq, softirq int64
	if _, err := fmt.Sscanf(text, "cpu %d %d %d %d %d %d %d",
		&user, &nice, &system, &idle, &iowait, &irq, &softirq); err != nil {
		return 0, fmt.Errorf("find the processors' times: %w", err)
	}
	return time.Duration(system+irq+softirq) * tick, nil
}

// parsePackets reads how many packets an interface received and sent (proc_pid_net(5), dev).
func parsePackets(text, device string) (received, sent int64, err error) {
	for line := range strings.Lines(text) {
		name, counters, found := strings.Cut(strings.TrimSpace(line), ":")
		if !found || name != device {
			continue
		}
		var skip int64
		if _, err := fmt.Sscan(counters, &skip, &received, &skip, &skip, &skip, &skip, &skip, &skip,
			&skip, &sent); err != nil {
			return 0, 0, fmt.Errorf("find the packets of %s: %w", device, err)
		}
		return received, sent, nil
	}

	return 0, 0, fmt.Errorf("find the interface %s: it is not there", device)
}
