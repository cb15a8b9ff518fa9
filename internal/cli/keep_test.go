// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/version"
)

// begun is a run of two scenarios, four iterations in all, that has just begun.
func begun(t *testing.T) *work {
	t.Helper()
	tasks := plan(t, "policy-deny", "pod-startup", "--targets=1", "--repeat=2")
	results, err := result.Create(filepath.Join(t.TempDir(), "results"))
	if err != nil {
		t.Fatal(err)
	}
	w := newRunOptions(version.Build{}, withFlavour()).newWork(tasks, results)
	if err := w.save(); err != nil {
		t.Fatal(err)
	}
	return w
}

// iterate enters iterations of the scenario under way.
func iterate(t *testing.T, w *work, numbers ...int) {
	t.Helper()
	for _, number := range numbers {
		at := time.Unix(int64(number), 0)
		err := w.Iteration([]measure.Sample{{
			Scenario: w.tasks[w.number].scenario.Name, Status: measure.Measured, Iteration: number,
			Want:    measure.StateBlocked,
			Start:   measure.Start{Source: measure.StartWrite, At: at},
			Bracket: measure.Bracket{Lower: at.Add(time.Second), Upper: at.Add(time.Second)},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCutRunIsReported leaves runs as a process does that is killed, or ended by a signal, in each
// phase. What was finished is reported, with how far the run came, and has passed no threshold.
func TestCutRunIsReported(t *testing.T) {
	warned := runner.Facts{Warnings: []string{"the log ended"}}
	tests := []struct {
		name string
		do   func(*testing.T, *work)
		says []string // nothing of a complete run
	}{
		{"killed before the first iteration", func(*testing.T, *work) {},
			[]string{"the run was cut after 0 of 4 iterations", "nothing was measured"}},
		{"killed in the first scenario",
			func(t *testing.T, w *work) { iterate(t, w, 1) },
			[]string{"the run was cut after 1 of 4 iterations", "account: 1 expected, 1 measured"}},
		{"killed in the second",
			func(t *testing.T, w *work) {
				iterate(t, w, 1, 2)
				if err := w.Scenario(warned); err != nil {
					t.Fatal(err)
				}
				w.number = 1
				iterate(t, w, 1)
			},
			[]string{"the run was cut after 3 of 4 iterations", "warning: the log ended"}},
		{"a signal",
			func(t *testing.T, w *work) {
				iterate(t, w, 1)
				if err := w.end(context.Canceled); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"the run ended after 1 of 4 iterations: interrupted"}},
		{"an error",
			func(t *testing.T, w *work) {
				iterate(t, w, 1)
				if err := w.end(errors.New("no more pods")); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"the run ended after 1 of 4 iterations: no more pods"}},
		{"killed while everything is removed", carryOut, nil},
		{"the removal failed",
			func(t *testing.T, w *work) {
				carryOut(t, w)
				if err := w.end(errors.New("it is not gone")); err != nil {
					t.Fatal(err)
				}
			}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := begun(t)
			test.do(t, w)
			directory := string(w.results.Directory)
			text, err := execute(t, "report", directory)
			if err != nil {
				t.Fatal(err)
			}
			text = strings.Join(strings.Fields(text), " ")
			for _, says := range test.says {
				if !strings.Contains(text, says) {
					t.Errorf("the report lacks %q: %s", says, text)
				}
			}
			cut := strings.Contains(text, "outcome: unobserved: the run")
			if want := test.says != nil; cut != want {
				t.Errorf("the outcome is that of a run that did not come to its end: %v, "+
					"want %v: %s", cut, want, text)
			}

			_, err = execute(t, "report", "--threshold=policy-deny.p99<1h", directory)
			if passed := err == nil; passed != (test.says == nil) {
				t.Errorf("a threshold passed: %v (%v)", passed, err)
			}
		})
	}
}

// carryOut carries out everything.
func carryOut(t *testing.T, w *work) {
	t.Helper()
	for number := range w.tasks {
		w.number = number
		iterate(t, w, 1, 2)
		if err := w.Scenario(runner.Facts{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCutRunIsCompared compares a complete run with one that was cut after enough iterations for a
// verdict: that is made, but no limit counts as kept.
func TestCutRunIsCompared(t *testing.T) {
	var directories []string
	for range 2 {
		tasks := plan(t, "policy-deny", "--targets=1", "--repeat=10")
		results, err := result.Create(filepath.Join(t.TempDir(), "results"))
		if err != nil {
			t.Fatal(err)
		}
		w := newRunOptions(version.Build{}, withFlavour()).newWork(tasks, results)
		done := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
		if len(directories) > 0 {
			done = done[:8]
		}
		iterate(t, w, done...)
		if err := w.Scenario(runner.Facts{}); err != nil {
			t.Fatal(err)
		}
		directories = append(directories, string(results.Directory))
	}

	const cut = "the run was cut after 8 of 10 iterations"
	text, err := execute(t, "compare", directories[0], directories[1])
	if err != nil || !strings.Contains(strings.Join(strings.Fields(text), " "), cut) {
		t.Errorf("%v: the comparison lacks %q:\n%s", err, cut, text)
	}
	_, err = execute(t, "compare", directories[0], directories[1], "--fail-if=median > +10%")
	if exitCode(err) != ExitFailure || !strings.Contains(err.Error(), cut) {
		t.Errorf("a limit is kept by a run that was cut: %v", err)
	}
}
