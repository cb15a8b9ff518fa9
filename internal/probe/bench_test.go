// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"net/netip"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// BenchmarkAgainstCurl measures the processor time of a probe, of this process and its children
// together, beside what the original clients do: sh -c "curl …". Both are measured in turns in the
// same run, so only the ratio is meant to be compared between machines. Goal: at least 50.
func BenchmarkAgainstCurl(b *testing.B) {
	if _, err := exec.LookPath("curl"); err != nil {
		b.Fatal("curl is missing: install the package curl")
	}
	const timeout = 50 * time.Millisecond
	for _, kind := range []struct {
		name string
		to   netip.AddrPort
	}{{"answered", answer(b, respond)}, {"dropped", silent(b)}} {
		for _, success := range []Success{Response, Connect} {
			b.Run(kind.name+"/"+string(success), func(b *testing.B) {
				attempt, err := NewAttempt(success, timeout)
				if err != nil {
					b.Fatal(err)
				}
				compare(b, attempt, kind.to)
			})
		}
	}
}

// perTurn is how many probes of ours share a turn with one of curl: enough to measure, as the kernel
// accounts processor time in ticks.
const perTurn = 100

func compare(b *testing.B, attempt Attempt, to netip.AddrPort) {
	var ours, theirs time.Duration
	turns := 0
	for b.Loop() {
		turns++
		theirs += processorTime(b, func() {
			// An exit code other than 0 is what a dropped probe is expected to give.
			_ = exec.Command("sh", "-c", "curl --silent --output /dev/null --connect-timeout 0.05 "+to.String()).Run()
		})
		ours += processorTime(b, func() { burst(b.Context(), attempt, to) })
	}
	mine := float64(ours.Microseconds()) / float64(turns*perTurn)
	curl := float64(theirs.Microseconds()) / float64(turns)
	b.ReportMetric(mine, "cpu-us/probe")
	b.ReportMetric(curl, "curl-cpu-us/probe")
	b.ReportMetric(curl/mine, "ratio")
	b.ReportMetric(0, "ns/op") // a turn's wall time means nothing here
}

// burst makes probes that overlap, as a prober does.
func burst(ctx context.Context, attempt Attempt, to netip.AddrPort) {
	done := make(chan struct{})
	for range perTurn {
		go func() {
			attempt(ctx, to)
			done <- struct{}{}
		}()
	}
	for range perTurn {
		<-done
	}
}

func processorTime(b *testing.B, f func()) time.Duration {
	b.Helper()
	before := used(b)
	f()
	return used(b) - before
}

// used is the processor time of this process and of its children that have ended (getrusage(2)).
func used(b *testing.B) time.Duration {
	b.Helper()
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return total
}
