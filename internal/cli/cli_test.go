// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Runs of the lab: one with three iterations, and two with ten and an engine of 100 and of 130 ms.
const (
	aRun = "../report/testdata/schema1"
	fast = "../report/testdata/delay100"
	slow = "../report/testdata/delay130"
)

// TestMainOutput runs command lines as a user would: what they print, where, and how they end.
func TestMainOutput(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	tests := []struct {
		name   string
		line   string
		code   int
		stdout []string
		stderr []string
	}{
		{"help names every command", "--help", ExitOK, []string{"manifests", "summary", "version"},
			nil},
		{"help has an example", "manifests --help", ExitOK,
			[]string{"Examples:", "| kubectl apply -f -"}, nil},
		{"help has an example", "summary --help", ExitOK, []string{"Examples:", "--wait"}, nil},
		{"version", "version", ExitOK, []string{"netpol-latency", "commit", "platform  "}, nil},
		{"the flag of that name", "--version", ExitOK, []string{"netpol-latency", "commit",
			"platform  "}, nil},
		{"version as JSON", "version --output=json", ExitOK,
			[]string{`"program": "netpol-latency"`, `"platform": "`}, nil},
		{"a version's format is checked", "version -o yaml", ExitFailure, nil,
			[]string{`--output "yaml": expected text or json`}},
		{
			"manifests for named API servers need no cluster",
			"manifests policy-creation --api-server 10.0.0.2:443 --api-server [fd00::2]:443 " +
				"--net-raw", ExitOK,
			[]string{`cidr: "10.0.0.2/32"`, `cidr: "fd00::2/128"`, "add: [NET_RAW]"}, nil,
		},
		{
			"the step is checked", "manifests pod-creation --api-server 10.0.0.2:443 --step later",
			ExitFailure,
			nil, []string{`"later"`, "setup, trigger or all"},
		},
		{
			"the scenario is checked", "manifests pod-deletion --api-server 10.0.0.2:443",
			ExitFailure,
			nil, []string{`"pod-deletion"`, "pod-creation", "policy-creation"},
		},
		{
			"an address is checked", "manifests pod-creation --api-server here", ExitFailure,
			nil, []string{`--api-server "here": expected an address and a port`},
		},
		{"scenarios are explained", "scenarios", ExitOK,
			[]string{"policy-update", "until it is allowed again"}, nil},
		{"help lists the exit codes", "run --help", ExitOK,
			[]string{"Exit codes: 0 everything", "--threshold"}, nil},
		{
			"all mistakes at once",
			"run policy-magic --targets 0 --direction up --same-node --other-node --threshold y",
			ExitFailure, nil,
			[]string{
				`"policy-magic": expected one of`,
				`--targets "0": expected a whole number from 1 to 10000`,
				`direction "up"`, "exclude each other", `threshold "y": expected`,
			},
		},
		{
			"a threshold is about something", "run policy-deny --threshold x.p99<1s", ExitFailure,
			nil,
			[]string{`threshold "x.p99<1s" is about no result of this run: expected one of ["policy-deny"]`},
		},
		{
			"a suite is checked", "run -c testdata/suite.yaml", ExitFailure, nil,
			[]string{`testdata/suite.yaml:3:5: `, `testdata/suite.yaml:4:14: `},
		},
		{
			"values are checked before anything is created",
			"run --probe nonsense --confirm 0 --hold -1s --timeout 0s --churn-duration -1m" +
				" --churn NaN --targets many --placement other", ExitFailure, nil,
			[]string{
				`--probe "nonsense": expected one of connect, http, udp, sctp, syn, auto`,
				`--confirm "0": expected a whole number`,
				`--hold "-1s": expected a duration of 0 or more`,
				`--timeout "0s": expected a duration of more than 0`,
				`--churn-duration "-1m": expected`,
				`--churn "NaN": expected a number`,
				`--targets "many": expected`,
				`--placement "other": expected one of any, same-node, other-node`,
			},
		},
		{
			"what was probably meant", "run policy-denny --direction egres", ExitFailure, nil,
			[]string{"did you mean policy-deny?", "did you mean egress?"},
		},
		{
			"a connection of UDP", "run policy-deny established --protocol UDP", ExitFailure, nil,
			[]string{"scenario established keeps connections open: expected protocol TCP"},
		},
		{
			"UDP is not probed by TCP", "run policy-deny --protocol UDP --probe connect",
			ExitFailure, nil,
			[]string{`probe mode "connect" sends TCP`},
		},
		{
			"TCP is not probed by UDP", "run policy-deny --probe udp", ExitFailure, nil,
			[]string{`probe mode "udp" sends UDP`},
		},
		{
			"a part of no scenario", "run policy-deny --skip policy-update/peer", ExitFailure, nil,
			[]string{"--skip policy-update/peer leaves out nothing: expected scenario"},
		},
		{
			"a part that is needed", "run policy-update --skip policy-update/port", ExitFailure,
			nil, []string{`--skip "policy-update/port": expected one of policy-update/peer`},
		},
		{
			"a baseline of policies", "run --baseline", ExitFailure, nil,
			[]string{"scenario policy-creation ignores baseline", "expected pod-creation alone"},
		},
		{
			"runs of a suite are checked with their settings",
			"run -c testdata/combinations.yaml --protocol UDP", ExitFailure, nil,
			[]string{
				"testdata/combinations.yaml: runs[1]: scenario established keeps",
				"testdata/combinations.yaml: runs[2]: scenario policy-deny ignores",
			},
		},
		{
			"no time for a transition", "run policy-deny --hold 5s --timeout 3s", ExitFailure, nil,
			[]string{"--timeout 3s is too short to confirm a change", "and --hold is 5s"},
		},
		{
			"too few probes for a transition",
			"run policy-deny --max-probe-rate 1 --targets 30", ExitFailure, nil,
			[]string{"--timeout 1m0s is too short to confirm a change: --confirm 3 probes of a " +
				"pair, of which there are 30 at 1 probes a second, take 1m30s"},
		},
		{
			"too many probes for a transition", "run policy-deny --confirm 1000", ExitFailure,
			nil, []string{"--confirm 1000 probes of a pair, of which there are 20"},
		},
		{
			"a rate that is next to none", "run policy-deny --max-probe-rate 1e-300", ExitFailure,
			nil, []string{"--timeout 1m0s is too short"},
		},
		{
			"a watch beyond the end", "run pod-startup --watch 2m", ExitFailure, nil,
			[]string{"--watch 2m0s is out of range: expected less than --timeout 1m0s"},
		},
		{
			"no pod at all", "run pod-creation --churn 0.1 --churn-duration 1s", ExitFailure, nil,
			[]string{"--churn 0.1 for --churn-duration 1s creates no pod"},
		},
		{
			"one placement", "run --same-node --any", ExitFailure, nil,
			[]string{"--same-node, --other-node and --any exclude each other: expected one"},
		},
		{
			"one placement, however it is spelt",
			"run --placement any --other-node", ExitFailure, nil,
			[]string{"--placement any and --other-node exclude each other"},
		},
		{"--set needs a suite", "run --set targets=5", ExitFailure, nil,
			[]string{"expected --config with it"}},
		{"--policy is alone", "run policy-deny --policy testdata/none.yaml", ExitFailure, nil,
			[]string{"read --policy"}},
		{"--expect needs --policy", "run --expect allowed", ExitFailure, nil,
			[]string{"--expect are about --policy"}},
		{
			"variables that are not set", "run --policy= --config= --namespace= --image=",
			ExitFailure, nil,
			[]string{"--policy is empty: expected a value", "--config is empty", "--image is empty",
				"--namespace is empty: expected a value, or no --namespace"},
		},
		{"a variable that is not set", "cleanup --all --namespace=", ExitFailure, nil,
			[]string{"--namespace is empty"}},
		{"a variable that is not set", "summary --namespace=", ExitFailure, nil,
			[]string{"--namespace is empty"}},
		{"a variable that is not set", "manifests pod-creation --image=", ExitFailure, nil,
			[]string{"--image is empty"}},
		{"an ID is no selector", "cleanup --run-id x,y", ExitFailure, nil,
			[]string{`run ID "x,y": expected at most`}},
		{"all mistakes of a summary", "summary --timeout=0s --selector ==", ExitFailure, nil,
			[]string{"--timeout 0s: expected a duration of more than 0",
				`--selector "==": expected labels`}},
		{"background changes need policies", "run --background-qps 5", ExitFailure, nil,
			[]string{"--background-policies of 1 or more"}},
		{"cleanup needs a run", "cleanup", ExitFailure, nil,
			[]string{"either --run-id ID or --all"}},
		{
			"an agent needs a number", "agent --namespace a --target-namespace b " +
				"--target-selector c --index 2 --agents 2", ExitFailure,
			nil, []string{"--index 2 of --agents 2: expected a number from 0"},
		},
		{"a probe mode is checked", "agent startup --probe ping", ExitFailure, nil,
			[]string{`"ping": expected one of`}},
		{"an address is checked", "agent startup --allowed here", ExitFailure, nil,
			[]string{`--allowed "here": expected an address`}},
		{"no cluster", "summary", ExitFailure, nil, []string{"netpol-latency: "}},
		{"report explains its formats", "report --help", ExitOK,
			[]string{"Examples:", "kube-burner", "perfdash"}, nil},
		{"report wants a run", "report", ExitFailure, nil,
			[]string{"expected the directory of a run"}},
		{"report wants a run there", "report testdata", ExitFailure, nil,
			[]string{"testdata has no run.json"}},
		{"a format is checked", "report --format pdf " + aRun, ExitFailure, nil,
			[]string{`"pdf": expected one of text, markdown`}},
		{"a report", "report " + aRun, ExitOK, []string{"run b1ba14d1", "resolution",
			"policy-deny.p99<500ms: passed"}, nil},
		{
			"a further limit", "report --threshold policy-deny.p99<1ms " + aRun, ExitThreshold,
			[]string{"policy-deny.p99<1ms: failed"}, []string{"a threshold failed: 1"},
		},
		{"a limit about nothing", "report --threshold x.p99<1ms " + aRun, ExitFailure, nil,
			[]string{`"x.p99<1ms" is about no result`}},
		{"compare has an example", "compare --help", ExitOK,
			[]string{"Examples:", "--fail-if", "--force"}, nil},
		{"compare wants two", "compare " + aRun, ExitFailure, nil,
			[]string{"1 directories: expected two"}},
		{"a limit is about two", "compare --fail-if p99>5% " + aRun + " " + aRun + " " + aRun,
			ExitFailure, nil, []string{"expected two directories, not 3"}},
		{"three side by side", "compare " + fast + " " + slow + " " + fast, ExitOK,
			[]string{"8 of 12 comparisons", "the median of ", "is longer than that of"}, nil},
		{"what differs is not put side by side", "compare " + fast + " " + slow + " " + aRun,
			ExitFailure, nil, []string{"not comparable", "pod-creation is in the other"}},
		{"compare wants runs", "compare testdata " + aRun, ExitFailure, nil,
			[]string{"expected the directory of a run"}},
		{
			"compare names all mistakes", "compare --format pdf --fail-if p99>5 " + aRun + " " +
				aRun, ExitFailure, nil,
			[]string{`"pdf": expected one of text`, `"p99>5": "5" is neither`},
		},
		{"what differs is not compared", "compare " + aRun + " " + fast, ExitFailure, nil,
			[]string{"not comparable", "--force", "pod-creation is in the one"}},
		{"slower", "compare --fail-if p99>10% " + fast + " " + slow, ExitThreshold,
			[]string{"EXCEEDED"}, []string{"2 of 2 limits"}},
		{"faster", "compare --fail-if p99>10% " + slow + " " + fast, ExitOK,
			[]string{"faster", "not exceeded"}, nil},
		{"too few", "compare --fail-if p99>10% " + aRun + " " + aRun, ExitFailure,
			[]string{"too few"}, []string{"cannot be decided"}},
		{"an unknown command", "meassure", ExitFailure, nil,
			[]string{`unknown command "meassure"`}},
		{"a command was probably meant", "rum", ExitFailure, nil,
			[]string{`unknown command "rum"`, "Did you mean this?", "run"}},
		{"a flag was probably meant", "run --targts 5", ExitFailure, nil,
			[]string{"unknown flag: --targts; did you mean --targets?"}},
		{"an unknown flag", "run --colour red", ExitFailure, nil,
			[]string{"unknown flag: --colour\n"}},
		{"a scenario of a suite was probably meant",
			"run -c testdata/combinations.yaml --set policy-denny.targets=5", ExitFailure, nil,
			[]string{`no run is of scenario "policy-denny"`, "did you mean policy-deny?"}},
		{"help has kubectl's flags last", "run --help", ExitOK,
			[]string{"\nFlags for the cluster, as kubectl has them:\n      --as string"}, nil},
		{"a context was probably meant",
			"run --kubeconfig testdata/contexts.yaml --context prodution", ExitFailure, nil,
			[]string{`--context "prodution": expected one of kind, production; did you mean ` +
				`production?`}},
		{"all names of a kubeconfig are checked", "cleanup --all --kubeconfig " +
			"testdata/contexts.yaml --cluster x --user you", ExitFailure, nil,
			[]string{`--cluster "x": expected one of far, laptop`,
				`--user "you": expected one of me, robot`}},
		{"what is said of a user is checked", "cleanup --all --as me --as-user-extra scopes",
			ExitFailure, nil, []string{"as-user-extra", "expected KEY=VALUE"}},
		{"a limit of requests is checked",
			"summary --kubeconfig testdata/contexts.yaml --request-timeout soon", ExitFailure,
			nil, []string{`--request-timeout "soon": expected a duration`}},
	}
	for _, test := range tests {
		t.Run(test.name+"/"+test.line, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := Main("", append([]string{Name}, strings.Fields(test.line)...), &stdout,
				&stderr); code != test.code {
				t.Errorf("exit code %d; want %d: %s", code, test.code, &stderr)
			}
			expect(t, "standard output", stdout.String(), test.stdout)
			expect(t, "standard error", stderr.String(), test.stderr)
			for line := range strings.Lines(stdout.String()) {
				if len([]rune(line)) > 101 && strings.Contains(test.line, "help") {
					t.Errorf("a line of help is longer than 100 columns: %s", line)
				}
			}
		})
	}
}

func expect(t *testing.T, where, got string, want []string) {
	t.Helper()
	if len(want) == 0 && got != "" {
		t.Errorf("%s has %q; want nothing", where, got)
	}
	for _, text := range want {
		if !strings.Contains(got, text) {
			t.Errorf("%s lacks %q:\n%s", where, text, got)
		}
	}
}

// TestReportFile writes reports to files, whole or not at all.
func TestReportFile(t *testing.T) {
	directory := t.TempDir()
	run := func(code int, line ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := Main("", append([]string{Name}, line...), &stdout, &stderr); got != code ||
			stdout.Len() > 0 {
			t.Errorf("%q ends with %d; want %d: %s%s", line, got, code, &stdout, &stderr)
		}
	}
	file := filepath.Join(directory, "report.md")
	run(ExitOK, "report", "--format", "markdown", "-o", file, aRun)
	content, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(content), "### Network policy latency") {
		t.Errorf("the file has %q, %v", content, err)
	}
	run(ExitFailure, "report", "-o", file, aRun, "none")
	if again, _ := os.ReadFile(file); !bytes.Equal(again, content) {
		t.Error("a report that could not be made replaced the file")
	}
	run(ExitFailure, "report", "-o", filepath.Join(directory, "none", "report.txt"), aRun)
	run(ExitOK, "compare", "--format", "html", "-o", filepath.Join(directory, "page.html"), fast,
		slow)
	run(ExitOK, "compare", "--format", "html", "-o", filepath.Join(directory, "page.html"), fast,
		slow, fast)
	run(ExitOK, "report", "--format", "perfdata", "-o", filepath.Join(directory, "artifacts"), aRun,
		fast)
	run(ExitFailure, "report", "--format", "perfdata", "-o", file, aRun)
	found, err := filepath.Glob(filepath.Join(directory, "artifacts",
		"GenericPrometheusQuery *.json"))
	if err != nil || len(found) != 6 {
		t.Errorf("perfdata wrote %q, %v; want 6 files", found, err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 3 {
		t.Errorf("the directory has %v, %v; want the report, the page and the artifacts", entries,
			err)
	}
}
