// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package flat

import "testing"

func TestParseMemory(t *testing.T) {
	got, err := parseMemory("Name:\tbench\nVmPeak:\t  900 kB\nVmHWM:\t   8192 kB\nVmRSS:\t 4096 " +
		"kB\n")
	if got != 8<<20 || err != nil {
		t.Errorf("%d bytes, %v: want 8 MiB", got, err)
	}
	if _, err := parseMemory("Name:\tbench\n"); err == nil {
		t.Error("a text without VmHWM is no error")
	}
}
