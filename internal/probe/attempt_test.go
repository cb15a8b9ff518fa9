// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

func TestAttempt(t *testing.T) {
	const timeout = 100 * time.Millisecond
	tests := []struct {
		name    string
		to      func(testing.TB) netip.AddrPort
		success Success
		want    measure.Verdict
	}{
		{"any HTTP response is a success, even a refusal",
			func(t testing.TB) netip.AddrPort { return answer(t, respond) }, Response, measure.Allowed},
		{"an open connection is a success of connect",
			func(t testing.TB) netip.AddrPort { return answer(t, respond) }, Connect, measure.Allowed},
		{"a server that closes without a word is unanswered",
			func(t testing.TB) netip.AddrPort { return answer(t, func(net.Conn) {}) }, Response, measure.Unanswered},
		{"a server that speaks something else is unanswered",
			func(t testing.TB) netip.AddrPort {
				return answer(t, func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-x\r\n")) })
			}, Response, measure.Unanswered},
		{"a dropped SYN is dropped", silent, Connect, measure.Dropped},
		{"a closed port is refused", closed, Response, measure.Refused},
		{"an address that TCP cannot reach is unreachable",
			func(testing.TB) netip.AddrPort { return netip.MustParseAddrPort("224.0.0.1:80") }, Connect, measure.Unreachable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			attempt, err := NewAttempt(test.success, timeout)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			outcome := attempt(t.Context(), test.to(t))
			if outcome.Verdict != test.want {
				t.Errorf("verdict %s (%v); want %s", outcome.Verdict, outcome.Err, test.want)
			}
			if outcome.Sent.Before(began) || outcome.Done.Before(outcome.Sent) {
				t.Errorf("began %v, sent %v, done %v: out of order", began, outcome.Sent, outcome.Done)
			}
			if (outcome.Err == nil) != (outcome.Verdict == measure.Allowed) {
				t.Errorf("verdict %s with error %v", outcome.Verdict, outcome.Err)
			}
		})
	}
}

func TestAttemptEndsWithItsContext(t *testing.T) {
	hang := answer(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)); _, _ = c.Read(make([]byte, 1)) })
	for name, to := range map[string]netip.AddrPort{"while connecting": silent(t), "while waiting for a response": hang} {
		t.Run(name, func(t *testing.T) {
			attempt, err := NewAttempt(Response, 900*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			outcome := attempt(ctx, to)
			if outcome.Verdict != measure.Ambiguous {
				t.Errorf("verdict %s (%v); want %s: a cancelled probe proves nothing",
					outcome.Verdict, outcome.Err, measure.Ambiguous)
			}
		})
	}
}

func TestAttemptsLeaveNoDescriptors(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	attempt, err := NewAttempt(Response, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	targets := []netip.AddrPort{silent(t), closed(t)}
	before := count()
	for range 20 {
		for _, to := range targets {
			attempt(t.Context(), to)
		}
	}
	if after := count(); after > before+1 { // the poller may have come meanwhile
		t.Errorf("%d descriptors after 40 probes; %d before", after, before)
	}
}

func TestNewAttemptRefuses(t *testing.T) {
	for _, timeout := range []time.Duration{0, -1, MaxTimeout} {
		if _, err := NewAttempt(Connect, timeout); err == nil {
			t.Errorf("time-out %s was taken", timeout)
		}
	}
	if _, err := NewAttempt("luck", time.Millisecond); err == nil {
		t.Error(`success "luck" was taken`)
	}
}
