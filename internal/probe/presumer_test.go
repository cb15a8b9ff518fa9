// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// presumer keeps what it is told until it has as many outcomes as wanted.
type presumer struct {
	recorder
	presumed, refuted []measure.Outcome
	// known is how many were presumed when the first outcome of this verdict came.
	known map[measure.Verdict]int
}

// OnOutcome implements [Observer].
func (p *presumer) OnOutcome(o measure.Outcome) bool {
	if _, is := p.known[o.Verdict]; !is {
		p.known[o.Verdict] = len(p.presumed)
	}
	return p.recorder.OnOutcome(o)
}

// OnPresumed implements [Presumer].
func (p *presumer) OnPresumed(o measure.Outcome) { p.presumed = append(p.presumed, o) }

// OnRefuted implements [Presumer].
func (p *presumer) OnRefuted(o measure.Outcome) { p.refuted = append(p.refuted, o) }

func newPresumer(want int) *presumer {
	return &presumer{recorder: *newRecorder(want), known: make(map[measure.Verdict]int)}
}

// expectOrder checks that each probe was presumed once, in the order of the sends, and as what.
func (p *presumer) expectOrder(t *testing.T, want []measure.Verdict) {
	t.Helper()
	var got []measure.Verdict
	newest := time.Time{}
	for _, o := range p.presumed {
		if !o.Sent.After(newest) {
			t.Errorf("a probe sent at %s is presumed after one of %s", o.Sent, newest)
		}
		newest = o.Sent
		got = append(got, o.Verdict)
	}
	if diff := cmp.Diff(want, got[:min(len(got), len(want))]); diff != "" {
		t.Errorf("the presumed verdicts differ (-want +got):\n%s", diff)
	}
}

// answerFirst answers so many datagrams at once, and leaves it to a function to answer the others.
func answerFirst(t *testing.T, replies int, other func(answer func())) netip.AddrPort {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		var buffer [64]byte
		for i := 0; ; i++ {
			n, from, err := socket.ReadFrom(buffer[:])
			if err != nil {
				return
			}
			if i < replies {
				_, _ = socket.WriteTo(buffer[:n], from)
			} else {
				other(func() { _, _ = socket.WriteTo([]byte("late"), from) })
			}
		}
	}()
	return socket.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestPresumed has a target fall silent: that is presumed long before a probe's time is over.
func TestPresumed(t *testing.T) {
	const replies, timeout = 4, 300 * time.Millisecond
	address := answerFirst(t, replies, func(func()) {})

	engine := startEngine(t, UDP, fast(), timeout)
	p := newPresumer(replies + 10)
	engine.Add(address, p)
	<-p.stopped
	want := []measure.Verdict{measure.Allowed, measure.Allowed, measure.Allowed, measure.Allowed,
		measure.Dropped, measure.Dropped, measure.Dropped, measure.Dropped}
	p.expectOrder(t, want)
	if len(p.refuted) > 0 {
		t.Errorf("%d presumptions are refuted", len(p.refuted))
	}
	if p.known[measure.Dropped] < replies+10 {
		t.Errorf("the first time is over when %d probes are presumed; want more than %d",
			p.known[measure.Dropped], replies+10)
	}
}

// TestPresumedOfNothing has a target that was never answered: nothing is presumed but what is
// known.
func TestPresumedOfNothing(t *testing.T) {
	engine := startEngine(t, Connect, fast(), 100*time.Millisecond)
	p := newPresumer(5)
	engine.Add(silent(t), p)
	<-p.stopped
	if p.known[measure.Dropped] != 1 {
		t.Errorf("%d probes are presumed with the first outcome; want it alone",
			p.known[measure.Dropped])
	}
	p.expectOrder(t, []measure.Verdict{measure.Dropped, measure.Dropped, measure.Dropped})
}

// TestRefuted has a target answer late, after a few quick replies: what was presumed is taken back.
func TestRefuted(t *testing.T) {
	const late = 200 * time.Millisecond // in which a busy machine gives the engine a processor
	address := answerFirst(t, 4, func(answer func()) { time.AfterFunc(late, answer) })

	engine := startEngine(t, UDP, fast(), 4*late)
	p := newPresumer(10)
	engine.Add(address, p)
	<-p.stopped
	if len(p.refuted) == 0 {
		t.Fatal("nothing that was presumed is taken back")
	}
	one := p.refuted[0]
	if took := one.Done.Sub(one.Sent); one.Verdict != measure.Allowed || took < late {
		t.Errorf("it is taken back by a probe that was %s after %s; want allowed after %s",
			one.Verdict, took, late)
	}
}
