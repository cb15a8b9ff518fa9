// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"testing"
	"time"
)

func TestParseKernelTime(t *testing.T) {
	text := "cpu  1000 20 300 40000 50 6 70 8 0 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n"
	got, err := parseKernelTime(text)
	if want := 3760 * time.Millisecond; got != want || err != nil {
		t.Errorf("the kernel's time is %s, %v: want %s", got, err, want)
	}
	if _, err := parseKernelTime("intr 1 2 3"); err == nil {
		t.Error("a text without the processors' times is no error")
	}
}

func TestParsePackets(t *testing.T) {
	text := `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       2    0    0    0     0          0         0       3       4    0    0    0     0       0          0
  eth0:  540516   10006    0    0    0     0          0         0  620000   11000    0    0    0     0       0          0
`
	received, sent, err := parsePackets(text, "eth0")
	if received != 10_006 || sent != 11_000 || err != nil {
		t.Errorf("%d packets received, %d sent, %v: want 10006 and 11000", received, sent, err)
	}
	for name, text := range map[string]string{"no such interface": "  lo: 1 2 3\n",
		"too few counters": "eth0: 1 2 3\n"} {
		if _, _, err := parsePackets(text, "eth0"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
