// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/need"
)

// iteration is what one has brought.
func iteration(number int) []measure.Sample {
	one := measure.Sample{Scenario: "policy-deny", Status: measure.Censored, Iteration: number}
	return []measure.Sample{one, one}
}

// underWay is a run of ten iterations of which some have ended.
func underWay(done int) Run {
	return Run{
		ID: "x", State: StateRunning, Began: time.Unix(1000, 0),
		Scenarios: []Scenario{{Scenario: "policy-deny", Iterations: done, Planned: 10}},
	}
}

// TestOneRunOfADirectory begins several runs with one directory at the same time.
func TestOneRunOfADirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	var began, refused atomic.Int32
	var group errgroup.Group
	for range 20 {
		group.Go(func() error {
			writer, err := Create(path)
			switch {
			case err == nil:
				began.Add(1)
				return writer.Close()
			case strings.Contains(err.Error(), "is not empty"):
				refused.Add(1)
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil || began.Load() != 1 || refused.Load() != 19 {
		t.Errorf("%d of 20 began, %d were refused, %v; want 1 and 19", began.Load(),
			refused.Load(), err)
	}
}

// TestCutRun leaves runs as a process leaves them that is killed at each point, and reads them.
func TestCutRun(t *testing.T) {
	half := func(t *testing.T, w *Writer) {
		if _, err := w.samples.WriteString(`{"schema":3,"status":"cens`); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		killed  func(*testing.T, *Writer)
		samples int
		cut     string
	}{
		"before the first iteration": {
			func(*testing.T, *Writer) {}, 0, "the run was cut after 0 of 10 iterations",
		},
		"between two iterations": {
			func(t *testing.T, w *Writer) {
				must(t, w.Append(iteration(1)))
				must(t, w.Save(underWay(1), nil))
			}, 2, "the run was cut after 1 of 10 iterations",
		},
		"while samples were written": {
			func(t *testing.T, w *Writer) {
				must(t, w.Append(iteration(1)))
				must(t, w.Save(underWay(1), nil))
				half(t, w)
			}, 2, "the run was cut after 1 of 10 iterations",
		},
		"before they were counted": {
			func(t *testing.T, w *Writer) { must(t, w.Append(iteration(1))) }, 0,
			"the run was cut after 0 of 10 iterations",
		},
		"while run.json was written": {
			func(t *testing.T, w *Writer) {
				must(t, w.Append(iteration(1)))
				must(t, w.Save(underWay(1), nil))
				draft := filepath.Join(string(w.Directory), ".run.json")
				must(t, os.WriteFile(draft, []byte("{"), 0o600))
			}, 2, "the run was cut after 1 of 10 iterations",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			writer, err := Create(filepath.Join(t.TempDir(), "results"))
			must(t, err)
			must(t, writer.Save(underWay(0), nil))
			test.killed(t, writer)
			must(t, writer.Close())
			run, samples, err := writer.Read()
			if err != nil || len(samples) != test.samples ||
				!strings.HasPrefix(run.Cut(), test.cut) {
				t.Errorf("%d samples of a run that says %q, %v; want %d and %q", len(samples),
					run.Cut(), err, test.samples, test.cut)
			}
		})
	}
}

// TestFullDisk writes to a disk that is full after the first iteration: that one is whole.
func TestFullDisk(t *testing.T) {
	const device = "/dev/full"
	need.File(t, device, "mount a /dev that has it")
	full, err := os.OpenFile(device, os.O_WRONLY, 0)
	must(t, err)
	writer, err := Create(filepath.Join(t.TempDir(), "results"))
	must(t, err)
	must(t, writer.Append(iteration(1)))
	must(t, writer.Save(underWay(1), nil))
	must(t, writer.Close())

	writer.samples = full
	if err := writer.Append(iteration(2)); err == nil ||
		!strings.Contains(err.Error(), "no space left") {
		t.Errorf("writing to a full disk: %v", err)
	}
	run, samples, err := writer.Read()
	if err != nil || len(samples) != 2 || run.Scenarios[0].Iterations != 1 {
		t.Errorf("%d samples of %+v, %v; want those of the first iteration", len(samples), run, err)
	}
}

// TestEndedRuns tells runs that ended early from complete ones, and from those of versions that did
// not note it.
func TestEndedRuns(t *testing.T) {
	failed, complete, early := underWay(3), underWay(10), underWay(3)
	failed.State, failed.Error = StateFailed, "interrupted"
	complete.State, early.State = StateComplete, ""
	for name, test := range map[string]struct {
		run  Run
		want string
	}{
		"failed":             {failed, "the run ended after 3 of 10 iterations: interrupted"},
		"complete":           {complete, ""},
		"an earlier version": {early, ""},
	} {
		if got := test.run.Cut(); got != test.want {
			t.Errorf("%s: the run says %q, want %q", name, got, test.want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
