// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && !race

package probe

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Where a counter tells the test: everything that grows has grown, and enough probes have been
// counted.
const (
	grown  = 200
	enough = grown + 1000
)

// counter counts outcomes and keeps none.
type counter struct {
	count   int
	reached chan int
}

// OnOutcome implements [Observer].
func (c *counter) OnOutcome(measure.Outcome) bool {
	c.count++
	if c.count == grown || c.count == enough {
		c.reached <- c.count
	}
	return false
}

// OnOverdue implements [Observer].
func (c *counter) OnOverdue(int, time.Time) {}

// OnStopped implements [Observer].
func (c *counter) OnStopped() { close(c.reached) }

// TestNoAllocation counts the allocations of a few thousand probes, of which the runtime makes some
// of its own.
func TestNoAllocation(t *testing.T) {
	mute := func(connection net.Conn) {
		var buffer [1]byte
		_, _ = connection.Read(buffer[:])
	}
	for _, test := range []struct {
		name string
		mode Mode
		open bool
	}{
		{"connect dropped", Connect, false}, {"http dropped", HTTP, false},
		{"syn dropped", SYN, false},
		{"udp dropped", UDP, false}, {"syn answered", SYN, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			to := silent(t)
			switch {
			case test.open:
				to = serve(t, mute)
			case test.mode == UDP:
				to = deaf(t)
			}
			engine := startEngine(t, test.mode, Schedule{BaseInterval: time.Millisecond,
				MinInterval: time.Millisecond, MaxRate: 5000}, 50*time.Millisecond)
			c := &counter{reached: make(chan int, 2)}
			pair := engine.Add(to, c)
			var before, after runtime.MemStats
			<-c.reached
			runtime.ReadMemStats(&before)
			began := time.Now()
			<-c.reached
			runtime.ReadMemStats(&after)
			seconds := uint64(time.Since(began).Seconds()) + 1
			pair.Stop()
			<-c.reached // closed: it has stopped
			allocations := after.Mallocs - before.Mallocs
			t.Logf("%d allocations in %d probes and %d s", allocations, enough-grown, seconds)
			most := uint64(enough-grown) / 20
			if test.mode == SYN {
				// for what it asks the kernel of routes, however many probes there are
				most += 150 * seconds
			}
			if allocations > most {
				t.Errorf("%d allocations in %d probes: want none of its own", allocations,
					enough-grown)
			}
		})
	}
}
