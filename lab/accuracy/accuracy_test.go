// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package accuracy

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// TestMain makes the test's binary the program that a harness starts in the network's namespaces.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func newTestHarness(t *testing.T) *Harness {
	t.Helper()
	harness, err := NewHarness()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := harness.Close(); err != nil {
			t.Error(err)
		}
	})
	harness.Rules = measure.Rules{Confirm: 3}
	return harness
}

func expectHolding(t *testing.T, result Result) {
	t.Helper()
	if len(result.Evaluated) != result.Cell.Pairs {
		t.Errorf("%d of %d pairs have a result", len(result.Evaluated), result.Cell.Pairs)
	}
	for _, surprise := range result.surprises() {
		t.Error(surprise)
	}
}

// TestBracketsHold runs a small part of what "make accuracy" does: every mode, both directions.
func TestBracketsHold(t *testing.T) {
	harness := newTestHarness(t)
	modes := []probe.Mode{probe.Connect, probe.HTTP, probe.UDP, probe.SYN, probe.Established}
	for _, cell := range Matrix(modes, []int{5}) {
		if cell.Delay != 10*time.Millisecond {
			continue
		}
		t.Run(cell.String(), func(t *testing.T) {
			result, err := harness.Run(t.Context(), cell)
			if err != nil {
				t.Fatal(err)
			}
			expectHolding(t, result)
			expectPresumed(t, result)
		})
	}
}

// expectPresumed makes sure that what was dropped was told of long before the probes' time was
// over, and nothing before the change.
func expectPresumed(t *testing.T, result Result) {
	t.Helper()
	for i, one := range result.Evaluated {
		after := one.Presumed.Sub(one.Commit.Before)
		switch {
		case one.Presumed.IsZero() && (result.Cell.Want == measure.StateAllowed ||
			result.Cell.Denial != flat.Drop):
		case one.Presumed.IsZero():
			t.Errorf("pair %d was blocked and never presumed to be", i)
		case after < 0 || after >= probe.DefaultTimeout:
			t.Errorf("pair %d was presumed to be blocked %s after the commit; want at most %s", i,
				after, probe.DefaultTimeout)
		}
	}
}

// TestNeighbourTableStaysSmall probes 2,000 targets, twice what a table holds by default, behind a
// router by every mode that makes packets of its own or the kernel's: neither the client nor the
// router needs an entry for each, so no run, however long, fills their tables.
func TestNeighbourTableStaysSmall(t *testing.T) {
	// the router and its link-local address, in both families, and what the kernel asks for
	// meanwhile
	const targets, most = 2000, 8
	harness := newTestHarness(t)
	for _, mode := range []probe.Mode{probe.Connect, probe.UDP, probe.SYN} {
		t.Run(string(mode), func(t *testing.T) {
			result, err := harness.Run(t.Context(), Cell{
				Mode: mode, Want: measure.StateAllowed, Denial: flat.Drop, Pairs: targets,
				Delay: 10 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Evaluated) != targets {
				t.Errorf("%d of %d targets have a result", len(result.Evaluated), targets)
			}
			for name, namespace := range map[string]*netns.Namespace{
				"client": harness.network.Client, "router": harness.network.Router,
			} {
				err := namespace.Do(func() error {
					entries, err := netlink.NeighList(0, netlink.FAMILY_ALL)
					if len(entries) > most {
						t.Errorf("the %s has %d neighbour entries; want at most %d", name,
							len(entries), most)
					}
					if len(entries) == 0 {
						t.Errorf("the %s has no neighbour entry: this looks at the wrong table",
							name)
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestDeviceReplaced takes the client's interface away while it is probing from it, and puts one of
// the same number in its place: the mode syn, whose sockets are bound to a device, goes on at its
// pace from the new one.
func TestDeviceReplaced(t *testing.T) {
	harness := newTestHarness(t)
	cell := Cell{Mode: probe.SYN, Want: measure.StateAllowed, Denial: flat.Drop, Pairs: 5,
		Delay: time.Second}
	result, err := harness.run(t.Context(), cell, harness.network.Rewire)
	if err != nil {
		t.Fatal(err)
	}
	expectHolding(t, result)
	for i, one := range result.Evaluated {
		// The kernel routes every 64th probe whatever became of the device: these alone are 640 ms
		// apart.
		if width := one.Bracket.Width(); width > 100*time.Millisecond {
			t.Errorf("pair %d: the bracket is %s wide; the probes no longer leave every 10 ms", i,
				width)
		}
	}
}

// TestLoss runs a network that loses one packet in a hundred: with tolerance no bracket misses its
// commit, and no flap is seen.
func TestLoss(t *testing.T) {
	harness := newTestHarness(t)
	harness.Rules = measure.Rules{Confirm: 5, Losses: 4}
	if err := harness.DropAtRandom(0.01); err != nil {
		t.Fatal(err)
	}
	for _, want := range []measure.State{measure.StateAllowed, measure.StateBlocked} {
		t.Run(want.String(), func(t *testing.T) {
			result, err := harness.Run(t.Context(), Cell{
				Mode: probe.SYN, Want: want, Denial: flat.Drop, Pairs: 200,
				Delay: 100 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			expectHolding(t, result)
			var lost uint64
			for _, one := range result.Evaluated {
				lost += one.Lost
			}
			if want == measure.StateBlocked && lost == 0 {
				t.Error("no packet was lost: this test has shown nothing")
			}
		})
	}
}

// TestReportFails makes sure that a bracket that misses its commit is not overlooked.
func TestReportFails(t *testing.T) {
	commit := flat.Commit{Before: time.Unix(100, 0), After: time.Unix(101, 0)}
	bracket := measure.Bracket{Lower: time.Unix(98, 0), Upper: time.Unix(99, 0)}
	missed := compare(Found{Bracket: bracket, Confirmed: true}, commit)
	if missed.Holds {
		t.Errorf("bracket %v holds commit %v", bracket, commit)
	}
	result := Result{Cell: Cell{Pairs: 1, Mode: probe.SYN, Want: measure.StateAllowed},
		Evaluated: []Evaluated{missed}}
	var out bytes.Buffer
	if err := Report(&out, Rows([]Result{result})); err == nil {
		t.Errorf("the report finds nothing wrong:\n%s", &out)
	}
	bracket.Upper = time.Unix(100, 0)
	if held := compare(Found{Bracket: bracket, Confirmed: true}, commit); !held.Holds {
		t.Errorf("bracket %v does not hold commit %v", bracket, commit)
	}
	if unconfirmed := compare(Found{Bracket: bracket}, commit); unconfirmed.Holds {
		t.Error("an unconfirmed transition holds")
	}
}
