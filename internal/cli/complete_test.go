// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/version"
)

// complete asks for completions as the scripts do: the words, and cobra's directive behind a colon.
func complete(t *testing.T, args ...string) []string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := Main("", append([]string{Name, cobra.ShellCompRequestCmd}, args...), &stdout,
		&stderr); code != ExitOK {
		t.Fatalf("completing %q ends with %d: %s", args, code, &stderr)
	}
	return strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
}

// directive is how the scripts are told what to do with the words.
func directive(all ...cobra.ShellCompDirective) string {
	var sum cobra.ShellCompDirective
	for _, one := range all {
		sum |= one
	}
	return fmt.Sprintf(":%d", sum)
}

func TestComplete(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	const (
		noFiles = cobra.ShellCompDirectiveNoFileComp
		inOrder = cobra.ShellCompDirectiveKeepOrder
		noSpace = cobra.ShellCompDirectiveNoSpace
	)
	fixed := directive(noFiles, inOrder)
	tests := []struct {
		line string
		want []string
	}{
		{"run --direction ", []string{"egress\tpolicies of the pods that connect",
			"ingress\tpolicies of the targets", fixed}},
		{"run --family=", []string{"IPv4", "IPv6", fixed}},
		{"run --protocol ", []string{"TCP", "UDP", "SCTP", fixed}},
		{"run --expect ", []string{"allowed", "blocked", fixed}},
		{"run --output ", []string{directive(cobra.ShellCompDirectiveFilterDirs)}},
		{"run -o ", []string{directive(cobra.ShellCompDirectiveFilterDirs)}},
		{"report ", []string{directive(cobra.ShellCompDirectiveFilterDirs)}},
		{"compare ", []string{directive(cobra.ShellCompDirectiveFilterDirs)}},
		{"run -c ", []string{"yaml", "yml", "json",
			directive(cobra.ShellCompDirectiveFilterFileExt)}},
		{"run --policy ", []string{"yaml", "yml", "json",
			directive(cobra.ShellCompDirectiveFilterFileExt)}},
		{"run --kubeconfig ", []string{directive(cobra.ShellCompDirectiveDefault)}},
		{"run --targets ", []string{directive(noFiles)}},
		{"run --kubeconfig testdata/contexts.yaml --context ",
			[]string{"kind", "production", directive(noFiles)}},
		{"cleanup --kubeconfig testdata/contexts.yaml --cluster ",
			[]string{"far", "laptop", directive(noFiles)}},
		{"summary --kubeconfig=testdata/contexts.yaml --user ",
			[]string{"me", "robot", directive(noFiles)}},
		{"run policy-update --threshold ", []string{
			"policy-update.",
			"policy-update/selector/close.", "policy-update/selector/open.",
			"policy-update/selector/other.",
			"policy-update/port/close.", "policy-update/port/open.", "policy-update/port/other.",
			"policy-update/peer/close.", "policy-update/peer/open.", "policy-update/peer/other.",
			directive(noFiles, inOrder, noSpace),
		}},
		{"manifests ", []string{
			"pod-creation\t" + summary(t, "pod-creation"), "policy-creation\t" +
				summary(t, "policy-creation"), fixed,
		}},
		{"manifests pod-creation ", []string{fixed}},
		{"manifests --step ", []string{
			"setup\twhat must be in place before the trigger",
			"trigger\tthe change whose effect is measured",
			"all\tboth, for removing a test", fixed,
		}},
		{"version -o ", []string{"text", "json", fixed}},
		{"wait --blocked ", []string{"tcp://", "udp://", "tcp4://", "tcp6://", "udp4://", "udp6://",
			directive(noFiles, inOrder, noSpace)}},
		{"wait --hold ", []string{directive(noFiles)}},
		{"summary --namespace ", []string{directive(cobra.ShellCompDirectiveError)}}, // no cluster
		{"ver", []string{"version\tPrint the version", directive(noFiles)}},
		{"completion ", []string{
			"bash\tGenerate the autocompletion script for bash",
			"fish\tGenerate the autocompletion script for fish",
			"powershell\tGenerate the autocompletion script for powershell",
			"zsh\tGenerate the autocompletion script for zsh", directive(noFiles),
		}},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			if diff := cmp.Diff(test.want, complete(t, strings.Split(test.line,
				" ")...)); diff != "" {
				t.Errorf("the completions differ (-want +got):\n%s", diff)
			}
		})
	}
}

func summary(t *testing.T, name string) string {
	t.Helper()
	one, err := scenario.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return one.Summary
}

// Every scenario is offered with its description, and none twice.
func TestCompleteScenarios(t *testing.T) {
	got := complete(t, "run", "policy-deny", "")
	for _, one := range scenario.All() {
		offered := slices.Contains(got, one.Name+"\t"+one.Summary)
		if named := one.Name == "policy-deny"; offered == named {
			t.Errorf("after policy-deny, %s is offered: %v\n%s", one.Name, offered,
				strings.Join(got, "\n"))
		}
	}
}

// A beginning of a threshold that the shell offers is one that the command understands.
func TestCompleteThresholds(t *testing.T) {
	names := complete(t, "run", "--threshold", "")
	if len(names) < len(scenario.All()) {
		t.Errorf("only %d names are offered: %q", len(names), names)
	}
	for _, statistic := range complete(t, "run", "--threshold", "policy-deny.") {
		if strings.HasPrefix(statistic, ":") {
			continue
		}
		limit := "<1s"
		if slices.Contains([]string{"expected", "measured", "censored", "invalid", "deleted",
			"unobserved", "leaks", "flaps", "outages", "holes", "lost"},
			strings.TrimPrefix(statistic, "policy-deny.")) {
			limit = "==0"
		}
		if _, err := parseThresholds([]string{statistic + limit}, nil); err != nil {
			t.Errorf("%s is offered, but: %v", statistic, err)
		}
	}
}

// What is offered for a flag is what the command takes: its own message about a wrong value lists
// the same.
func TestCompleteOffersWhatIsTaken(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	tests := []struct{ command, flag, before string }{
		{"run", "direction", `direction "wrong": expected one of `},
		{"run", "family", `family "wrong": expected one of `},
		{"run", "protocol", `protocol "wrong": expected one of `},
		{"run", "peer", `peer "wrong": expected one of `},
		{"run", "port", `port "wrong": expected one of `},
		{"run", "clock", `clock "wrong": expected one of `},
		{"agent startup", "probe", `probe mode "wrong": expected one of `},
	}
	for _, test := range tests {
		t.Run(test.command+" --"+test.flag, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			line := append([]string{Name}, strings.Fields(test.command)...)
			if code := Main("", append(line, "--"+test.flag, "wrong"), &stdout,
				&stderr); code != ExitFailure {
				t.Errorf("a wrong value ends with %d; want %d", code, ExitFailure)
			}
			_, list, found := strings.Cut(stderr.String(), test.before)
			list, _, _ = strings.Cut(list, "\n")
			if !found {
				t.Fatalf("the message lacks %q:\n%s", test.before, &stderr)
			}
			var words []string
			for _, word := range complete(t, append(strings.Fields(test.command), "--"+test.flag,
				"")...) {
				if name, _, _ := strings.Cut(word, "\t"); !strings.HasPrefix(name, ":") {
					words = append(words, name)
				}
			}
			if diff := cmp.Diff(strings.Split(list, ", "), words); diff != "" {
				t.Errorf("what is taken and what is offered differ (-taken +offered):\n%s", diff)
			}
		})
	}
}

func TestEveryModeIsDescribed(t *testing.T) {
	for _, mode := range probe.Modes() {
		if modeText(mode) == "" {
			t.Errorf("probe mode %s has no description", mode)
		}
	}
}

// Whoever adds a flag that takes a text decides what the shell offers for it; nothing, for those
// below.
func TestEveryFlagIsCompleted(t *testing.T) {
	free := []string{
		"run --image", "run --target-image", "run --run-id", "run --set", "run --from", "run --to",
		"run --from-namespace", "run --to-namespace", "run --to-port", "run --event",
		"run --restart",
		"manifests --image", "manifests --target-image", "manifests --client-arg",
		"manifests --api-server",
		"summary --selector", "agent --target-selector", "agent --pod", "agent --plan",
		"agent startup --allowed",
		"agent startup --forbidden",
		"compare --fail-if", "wait --readiness-gate", "wait --from",
		"wait --image",
	}
	for _, command := range []string{"run", "cleanup", "manifests", "summary", "wait"} {
		for _, flag := range []string{
			"as", "as-group", "as-uid", "proxy-url", "request-timeout", "server",
			"tls-server-name", "token",
		} {
			free = append(free, command+" --"+flag)
		}
	}
	for _, field := range setting.Pods() {
		if !field.File {
			free = append(free, "run --"+field.Name, "manifests --"+field.Name)
		}
	}
	seen := make(map[string]bool)
	visit(newRoot(standalone(), version.Read(Name, ""), setting.All()), func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			name := strings.TrimPrefix(cmd.CommandPath(), Name+" ") + " --" + flag.Name
			seen[name] = true
			_, completed := cmd.GetFlagCompletionFunc(flag.Name)
			if takesText(flag) && completed == slices.Contains(free, name) {
				t.Errorf("%s: completed is %v, and listed as free is %v; expected one of both",
					name, completed, completed)
			}
		})
	})
	for _, name := range free {
		if !seen[name] {
			t.Errorf("%s is listed as free, but does not exist", name)
		}
	}
}

func takesText(flag *pflag.Flag) bool {
	return slices.Contains([]string{"string", "stringArray", "stringSlice", "list"},
		flag.Value.Type())
}

func visit(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, child := range cmd.Commands() {
		visit(child, do)
	}
}
