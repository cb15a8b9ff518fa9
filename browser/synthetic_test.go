// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/report/html"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// synthetic are pairs as a run of policy-deny might bring them: most changed, some late, some
// never, a few flapped.
func synthetic(pairs int) []measure.Sample {
	random := rand.New(rand.NewPCG(1, 2))
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var samples []measure.Sample
	for i := range pairs {
		latency := time.Duration((20 + 40*random.ExpFloat64()) * float64(time.Millisecond))
		width := time.Duration((1 + 9*random.Float64()) * float64(time.Millisecond))
		s := measure.Sample{
			Scenario: "policy-deny", Status: measure.Measured, Want: measure.StateBlocked,
			Iteration: 1,
			Client: measure.Object{Namespace: "agents", Name: fmt.Sprintf("agent-%d", i%4),
				UID: fmt.Sprintf("client-%d", i%4)},
			ClientNode: fmt.Sprintf("node-%d", i%4), TargetNode: fmt.Sprintf("node-%d", i%7),
			Target: measure.Target{
				Pod: measure.Object{Namespace: "targets", Name: fmt.Sprintf("target-%d", i),
					UID: fmt.Sprintf("target-%d", i)},
				Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}),
					8080),
			},
			Start: measure.Start{Source: measure.StartWrite, At: began,
				Uncertainty: 500 * time.Microsecond},
			Bracket: measure.Bracket{Lower: began.Add(latency - width), Upper: began.Add(latency)},
			Ended:   began.Add(latency + 300*time.Millisecond),
		}
		s.Probes[measure.Allowed], s.Probes[measure.Dropped] = 20, 30
		switch {
		case i%500 == 499:
			s.Status, s.Bracket, s.Ended = measure.Censored, measure.Bracket{},
				began.Add(3*time.Second)
			s.Reason = "the run ended before the target was reached"
		case i%100 == 99:
			s.FlapCount = 2
			for j := range 2 {
				at := s.Bracket.Upper.Add(time.Duration(50+40*j) * time.Millisecond)
				s.Flaps = append(s.Flaps, measure.Change{
					To: measure.State(1 +
						j), Bracket: measure.Bracket{Lower: at.Add(-3 * time.Millisecond),
						Upper: at},
				})
			}
		}
		samples = append(samples, s)
	}
	return samples
}

func write(t testing.TB, samples ...measure.Sample) (file string) {
	t.Helper()
	var document bytes.Buffer
	source := report.Source{Directory: "results", Run: result.Run{Schema: 1, ID: "synthetic"},
		Samples: samples}
	if err := html.Write(&document, report.Build(source)); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, document.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
