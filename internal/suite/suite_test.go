// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// whole compares settings field by field, but for who has chosen them.
var whole = cmp.Options{
	cmp.AllowUnexported(setting.Settings{}),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".given" }, cmp.Ignore()),
}

var update = flag.Bool("update", false, "write what is found as what is wanted")

// known is what the suites of these tests may name. What they do not say is zero.
func known() Known {
	return Known{Scenarios: []string{"policy-creation", "policy-deny", "policy-update"},
		Settings: setting.All()}
}

// full is what testdata/suite.yaml holds.
func full() Suite {
	return Suite{
		Runs: []Run{
			{
				Scenario: "policy-creation", Settings: setting.Settings{
					Direction: "ingress", Family: "IPv6", Peer: "ipBlockExcept", Port: "range",
					Protocol: "UDP", Targets: 200, Agents: 2, Repeat: 10, Timeout: 90 * time.Second,
					Placement: "other-node",
					Baseline:  true,
				},
			},
			{Scenario: "policy-update", Settings: setting.Settings{Targets: 20, Repeat: 3}},
		},
		Thresholds: []string{"policy-creation.p99<500ms", "policy-update/close.leaks == 0"},
	}
}

func TestLoad(t *testing.T) {
	content, err := os.ReadFile("testdata/suite.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(bytes.NewReader(content), "suite.yaml", known())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), got, whole); diff != "" {
		t.Errorf("suite (-want +got):\n%s", diff)
	}
}

func TestLoadDefaults(t *testing.T) {
	tests := []struct {
		name, text string
		want       setting.Settings
	}{
		{"what is said nowhere is zero", "runs: [{scenario: policy-deny}]", setting.Settings{}},
		{"a default may follow the runs", "runs: [{scenario: policy-deny}]\nprotocol: UDP",
			setting.Settings{Protocol: "UDP"}},
		{"a run overrides it, with false too",
			"baseline: true\nruns: [{scenario: policy-deny, baseline: false}]", setting.Settings{}},
		{"a value is its text, in quotes or not", "runs: [{scenario: policy-deny, targets: \"5\"}]",
			setting.Settings{Targets: 5}},
		{
			"an alias is what it stands for",
			"targets: &n 7\nruns: [{scenario: policy-deny, agents: *n}]",
			setting.Settings{Targets: 7, Agents: 7},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := []Run{{"policy-deny", test.want}}
			got, err := Load(strings.NewReader(test.text), "suite.yaml", known())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Runs, whole); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLoadAllMistakes loads a file that has one mistake of each kind: all are reported, each with
// its place.
func TestLoadAllMistakes(t *testing.T) {
	content, err := os.ReadFile("testdata/mistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	suite, err := Load(bytes.NewReader(content), "mistakes.yaml", known())
	if err == nil || !reflect.ValueOf(suite).IsZero() {
		t.Fatalf("loaded %+v, %v; want mistakes only", suite, err)
	}
	got := err.Error() + "\n"
	if *update {
		if err := os.WriteFile("testdata/mistakes.golden", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/mistakes.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("mistakes (-want +got), -update accepts them:\n%s", diff)
	}
}

func TestLoadMistakes(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"nothing", "", "f:1:1: the suite is empty: expected runs"},
		{"a comment only", "# later\n", "f:1:1: the suite is empty"},
		{"no mapping", "[a]", "f:1:1: the suite is a list: expected a mapping, with keys out of " +
			"runs, thresholds, direction"},
		{"no runs", "\ntargets: 5", "f:2:1: the suite has no runs: expected a list"},
		{"no run", "runs: []", "f:1:7: runs is empty: expected at least one"},
		{"runs that are no list", "runs: 5", "f:1:7: runs is a single value: expected a list"},
		{"runs without a value", "targets: 5\nruns:\n",
			"f:2:1: runs is a single value: expected a list"},
		{"a second document", "runs: [{scenario: policy-deny}]\n---\na: b",
			"f:2:1: a second document"},
		{"no YAML", "runs:\n  - a: b: c\n",
			"f:2:1: this is no YAML: mapping values are not allowed"},
		{"no YAML in the first line", "runs: [", "f:1:1: this is no YAML: "},
		{"a tab", "runs:\n\t- a", "f:2:1: this is no YAML: "},
		{
			"a number that is none", "targets: 1e3\nruns: [{scenario: policy-deny}]",
			`f:1:10: targets "1e3": expected a whole number`,
		},
		{"a list of itself", "runs: &a [*a]", "f:1:11: a run is a list"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load(strings.NewReader(test.text), "f", known())
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("Load() = %v; want %q", err, test.want)
			}
		})
	}
}

func TestLoadPassesOnWhatReadingSays(t *testing.T) {
	broken := errors.New("the disk is gone")
	if _, err := Load(iotest.ErrReader(broken), "f", known()); !errors.Is(err, broken) {
		t.Errorf("Load() = %v; want one that wraps %q", err, broken)
	}
}

// TestLoadOverFlags has settings beside a suite: it overrides them, with false too.
func TestLoadOverFlags(t *testing.T) {
	beside := known()
	beside.Defaults = setting.Settings{Agents: 3, Targets: 7, Baseline: true}
	const text = "agents: 2\nruns: [{scenario: policy-deny, baseline: false}, {scenario: " +
		"policy-update}]"
	got, err := Load(strings.NewReader(text), "suite.yaml", beside)
	if err != nil {
		t.Fatal(err)
	}
	want := []Run{
		{"policy-deny", setting.Settings{Agents: 2, Targets: 7}},
		{"policy-update", setting.Settings{Agents: 2, Targets: 7, Baseline: true}},
	}
	if diff := cmp.Diff(want, got.Runs, whole); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

// written is the suite as a file that can be loaded. What is zero was not said.
func written(suite Suite) string {
	var b strings.Builder
	b.WriteString("runs:\n")
	for _, run := range suite.Runs {
		fmt.Fprintf(&b, "  - scenario: %q\n", run.Scenario)
		for _, f := range setting.All() {
			if !reflect.ValueOf(f.Value(run.Settings)).IsZero() {
				fmt.Fprintf(&b, "    %s: %q\n", f.Name, f.Text(run.Settings))
			}
		}
	}
	if len(suite.Thresholds) > 0 {
		fmt.Fprintf(&b, "thresholds: [")
		for _, one := range suite.Thresholds {
			fmt.Fprintf(&b, "%q, ", one)
		}
		b.WriteString("]\n")
	}
	return b.String()
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"testdata/suite.yaml", "testdata/mistakes.yaml"} {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte("runs: &a [*a]"))
	f.Add([]byte("targets: &n 7\nruns: [{scenario: policy-deny, agents: *n}]\nthresholds: " +
		"[\"policy-deny.p99\\n<1µs\"]"))
	f.Add([]byte("runs: [{scenario: policy-deny}]\n--- \n..."))
	f.Fuzz(func(t *testing.T, content []byte) {
		suite, err := Load(bytes.NewReader(content), "f", known())
		if err != nil {
			return
		}
		again, err := Load(strings.NewReader(written(suite)), "f", known())
		if err != nil {
			t.Fatalf("%+v was written as\n%s\nwhich cannot be loaded: %v", suite, written(suite),
				err)
		}
		if diff := cmp.Diff(suite, again, whole); diff != "" {
			t.Errorf("loaded again (-first +second):\n%s", diff)
		}
	})
}

// TestLoadPolicy reads runs of policies of the user's own.
func TestLoadPolicy(t *testing.T) {
	known := known()
	known.Own = "policy"
	got, err := Load(strings.NewReader(`
runs: [{policy: web.yaml, before: deny.yaml, delete: true, direction: egress}]
thresholds: [policy.p99<1s]
`), "suite.yaml", known)
	if err != nil {
		t.Fatal(err)
	}
	want := Suite{
		Runs: []Run{{Scenario: "policy", Settings: setting.Settings{
			Direction: "egress",
			Own:       setting.Change{Policy: "web.yaml", Before: "deny.yaml", Delete: true},
		}}},
		Thresholds: []string{"policy.p99<1s"},
	}
	if diff := cmp.Diff(want, got, whole); diff != "" {
		t.Errorf("suite (-want +got):\n%s", diff)
	}
	if s := got.Runs[0].Settings; !s.Given("direction") || s.Given("protocol") {
		t.Error("it is not known that the direction was given, and the protocol was not")
	}

	_, err = Load(strings.NewReader("runs: [{scenario: policy-deny, policy: web.yaml}]"),
		"suite.yaml", known)
	if err == nil || !strings.Contains(err.Error(), "suite.yaml:1:8: a run has a scenario and") {
		t.Errorf("Load() = %v; want that a run has both", err)
	}
}
