// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/netpol-latency/netpol-latency/lab/internal/nfqueue"
)

// An engine that filters in user space lets pass and blocks what one in the kernel does.
func TestQueueVerdicts(t *testing.T) {
	w := startEnvironment(t, 20000)
	w.addPair(t)
	w.check(t)
	w.createPolicy(newPolicy("x", "deny", with("app", "server"), isolate(in)))
	if blocked := w.check(t); blocked == 0 {
		t.Error("the policy blocks nothing")
	}
}

// The truth log holds for packets that wait in a queue: they are filtered when they leave it. Each
// verdict is in force for longer than they may wait, so that most of them can have only one.
func TestQueueTruth(t *testing.T) {
	w := startEnvironment(t, 20000)
	client, server := w.addPair(t)
	deny := newPolicy("x", "deny", with("app", "server"), isolate(in))
	for _, f := range families {
		t.Run(fmt.Sprint("IPv", f), func(t *testing.T) {
			flips := w.during(t, client, server, f, func() {
				for range 2 {
					w.createPolicy(deny)
					<-time.After(2 * w.underWay)
					w.deletePolicy("deny")
					<-time.After(2 * w.underWay)
				}
			})
			if len(flips) < 5 {
				t.Fatalf("the log has %d flips", len(flips))
			}
		})
	}
}

// Packets pass at the rate of the verdicts, in a queue that all pods share.
func TestQueueRate(t *testing.T) {
	const verdicts, packets = 200, 100
	w := startEnvironment(t, verdicts)
	client, server := w.addPair(t)
	began := time.Now()
	var last <-chan struct{}
	for i := range packets {
		from, to := client, server
		if i%2 == 0 {
			from, to = server, client
		}
		last = send(t, from, to)
	}
	if !isClosedBy(last, time.Now().Add(waitTimeout)) {
		t.Fatal("the last packet does not arrive")
	}
	if took := time.Since(began); took < packets*time.Second/verdicts {
		t.Errorf("%d packets took %v; want at least %v", packets, took,
			packets*time.Second/verdicts)
	}
}

// What comes when the queue is full is lost, and the kernel counts it.
func TestQueueOverflow(t *testing.T) {
	const packets = nfqueue.Length + 500
	w := startEnvironment(t, 1)
	client, server := w.addPair(t)
	for range packets {
		send(t, client, server)
	}

	// The reader takes packets out of the kernel, which still counts them as waiting.
	w.net.in(t, w.net.router, func() error {
		text, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
		if err != nil {
			return err
		}
		var number, reader, waiting, copyMode, copyRange, dropped int
		if _, err := fmt.Sscan(string(text), &number, &reader, &waiting, &copyMode, &copyRange,
			&dropped); err != nil {
			return fmt.Errorf("read %q: %w", text, err)
		}
		if waiting > nfqueue.Length || waiting < nfqueue.Length-10 || dropped < 490 {
			t.Errorf("%d of %d packets wait and %d are lost; want %d in the queue and the rest "+
				"lost", waiting, packets, dropped, nfqueue.Length)
		}
		return nil
	})
}

// send sends a packet of a connection of its own; the channel is closed when it has arrived.
func send(t *testing.T, from, to *host) <-chan struct{} {
	t.Helper()
	arrived, err := from.sctp[ipv4].send(&attempt{from: from, to: to, family: ipv4,
		protocol: corev1.ProtocolSCTP, port: 80})
	if err != nil {
		t.Fatal(err)
	}
	return arrived
}
