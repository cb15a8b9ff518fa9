// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/version"
)

// withFlavour is the table of settings with one that is made up.
func withFlavour() setting.Table {
	return append(setting.All(), setting.Field{
		Name: "flavour", Title: "flavour", Usage: "taste of the packets", Default: "plain",
		Choices: []setting.Choice{{Value: "plain"}, {Value: "hot", Help: "with pepper"}},
	})
}

// execute carries out a command line of a program that has the made-up setting.
func execute(t *testing.T, line ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot(standalone(), version.Read(Name, ""), withFlavour())
	root.SetArgs(line)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.Execute()
	return out.String(), err
}

// plan are the tasks of a command line, each checked.
func plan(t *testing.T, line ...string) []task {
	t.Helper()
	o := newRunOptions(version.Build{}, withFlavour())
	cmd := &cobra.Command{}
	o.flags(cmd.Flags())
	if err := cmd.ParseFlags(line); err != nil {
		t.Fatal(err)
	}
	tasks, _, err := o.prepare(cmd.Flags(), cmd.Flags().Args())
	if err != nil {
		t.Fatal(err)
	}
	return tasks
}

// emptyRun writes the directory of a run that found nothing.
func emptyRun(t *testing.T, tasks []task) string {
	t.Helper()
	directory, err := result.Create(filepath.Join(t.TempDir(), "results"))
	if err != nil {
		t.Fatal(err)
	}
	run := result.Run{ID: "x", Began: time.Unix(1000, 0)}
	for _, one := range tasks {
		run.Scenarios = append(run.Scenarios, one.record(withFlavour()))
	}
	if err := directory.Save(run, nil); err != nil {
		t.Fatal(err)
	}
	return string(directory.Directory)
}

// TestOneEntryMakesASetting adds an entry to the table, and finds it everywhere.
func TestOneEntryMakesASetting(t *testing.T) {
	suite := filepath.Join(t.TempDir(), "suite.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(suite, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const flavoured = "runs: [{scenario: policy-deny, flavour: hot}, {scenario: policy-deny}]"
	labels := func(tasks []task) []string {
		var all []string
		for _, one := range tasks {
			all = append(all, one.options.Label)
		}
		return all
	}

	t.Run("flag", func(t *testing.T) {
		help, err := execute(t, "run", "--help")
		const usage = `taste of the packets (default "plain")`
		if err != nil || !strings.Contains(help, "--flavour string") ||
			!strings.Contains(help, usage) {
			t.Errorf("%v: the help lacks the flag:\n%s", err, help)
		}
		got := labels(plan(t, "policy-deny", "--flavour", "hot"))
		if !slices.Equal(got, []string{"flavour hot"}) {
			t.Errorf("the labels are %q", got)
		}
	})
	t.Run("completion", func(t *testing.T) {
		words, err := execute(t, cobra.ShellCompRequestCmd, "run", "--flavour", "")
		if err != nil || !strings.HasPrefix(words, "plain\nhot\twith pepper\n") {
			t.Errorf("%v: the shell offers %q", err, words)
		}
	})
	t.Run("validation", func(t *testing.T) {
		_, err := execute(t, "run", "--flavour", "hott")
		const want = `--flavour "hott": expected one of plain, hot; did you mean hot?`
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("suite", func(t *testing.T) {
		write(flavoured)
		if got := labels(plan(t, "-c", suite)); !slices.Equal(got, []string{"flavour hot", ""}) {
			t.Errorf("the labels are %q", got)
		}
		write("flavor: hot\nruns: [{scenario: policy-deny, flavour: cold}]")
		_, err := execute(t, "run", "-c", suite)
		for _, want := range []string{
			`:1:1: unknown key "flavor"`, "did you mean flavour?",
			`:2:41: flavour "cold": expected one of plain, hot`,
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error lacks %s: %v", want, err)
			}
		}
	})
	t.Run("--set", func(t *testing.T) {
		write(flavoured)
		got := labels(plan(t, "-c", suite, "--set", "runs[1].flavour=hot"))
		if !slices.Equal(got, []string{"flavour hot", "flavour hot"}) {
			t.Errorf("the labels are %q", got)
		}
	})
	t.Run("run.json, comparability and HTML", func(t *testing.T) {
		hot := emptyRun(t, plan(t, "policy-deny", "--flavour=hot"))
		plain := emptyRun(t, plan(t, "policy-deny"))
		content, err := os.ReadFile(filepath.Join(hot, "run.json"))
		if err != nil || !strings.Contains(string(content), `"flavour": "hot"`) {
			t.Errorf("%v: run.json is\n%s", err, content)
		}
		_, err = execute(t, "compare", hot, plain)
		const want = "the flavour of policy-deny is hot in the one, plain in the other"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the comparison says %v", err)
		}
		page, err := execute(t, "report", "--format", "html", hot)
		if err != nil || !strings.Contains(page, `<th scope="row">flavour</th><td>hot</td>`) {
			t.Errorf("%v: the page has no row of the setting", err)
		}
	})
}

// TestPlacement has one flag, and the spellings of earlier versions beside it.
func TestPlacement(t *testing.T) {
	tests := []struct {
		name, want string
		line       []string
	}{
		{"the default", setting.PlaceAny, nil},
		{"by name", setting.PlaceOther, []string{"--placement", "other-node"}},
		{"as it was spelt", setting.PlaceSame, []string{"--same-node"}},
		{"both say the same", setting.PlaceOther, []string{"--placement=other-node",
			"--other-node"}},
		{"the default as it was spelt", setting.PlaceAny, []string{"--any"}},
		{"not as it was spelt", setting.PlaceAny, []string{"--same-node=false"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := plan(t, append(test.line, "policy-deny")...)[0].options.Placement
			if got != test.want {
				t.Errorf("the placement is %s; want %s", got, test.want)
			}
		})
	}
	help, err := execute(t, "run", "--help")
	shown, hidden := strings.Contains(help, "--placement string"),
		!strings.Contains(help, "--same-node")
	if err != nil || !shown || !hidden {
		t.Errorf("%v: the help lacks --placement, or has the earlier spellings:\n%s", err, help)
	}
}

// TestTasksTellSettingsApart runs one scenario in ways that differ in one setting each.
func TestTasksTellSettingsApart(t *testing.T) {
	tests := []struct {
		line, want string
	}{
		{"policy-deny --timeout 30s", "timeout 30s"},
		{"policy-deny --hold 1s", "hold 1s"},
		{"policy-deny --probe syn", "probe syn"},
		{"policy-deny --probe connect", ""},
		{"policy-deny --protocol UDP", "UDP"},
		{"established --probe syn", ""},
		{"policy-deny --repeat 5 --patience 1h", ""},
		{"policy-deny --background-policies 10 --direction ingress",
			"ingress, 10 background policies"},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			if got := plan(t, strings.Fields(test.line)...)[0].options.Label; got != test.want {
				t.Errorf("the label is %q; want %q", got, test.want)
			}
		})
	}
}

// Every probe mode of a run is one that its agents know.
func TestProbeModesAreThoseOfTheAgents(t *testing.T) {
	for _, one := range setting.ProbeModes() {
		if _, err := probe.ParseMode(one.Value); err != nil {
			t.Error(err)
		}
	}
}
