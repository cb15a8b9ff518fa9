// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// TestMain makes the test's binary the program that a bench starts in the network's namespaces.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestTurns makes one turn of the engine's cheapest mode, dropped in both places, and of the floor,
// and judges no figure.
func TestTurns(t *testing.T) {
	b, err := newBench(t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	chosen, err := choose([]string{floorName, ingressSYNName, string(probe.SYN)})
	if err != nil {
		t.Fatal(err)
	}
	for _, y := range chosen {
		readings, err := b.play(t.Context(), y)
		if err != nil {
			t.Fatal(err)
		}
		if len(readings) != len(y.states()) {
			t.Errorf("%s was measured in %d states: want %d", y.name, len(readings),
				len(y.states()))
		}
		for state, r := range readings {
			if r.CPU <= 0 || r.Memory <= 0 {
				t.Errorf("%s, %s: nothing was measured: %+v", y.name, state, r)
			}
		}
	}
	_, err = b.take(t.Context(), Turn{Yardstick: "telepathy", State: Dropped})
	if err == nil {
		t.Error("a yardstick that does not exist is no error")
	}
}
