// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/agent"
	"github.com/netpol-latency/netpol-latency/internal/need"
)

const release = "v1.2.3"

// TestMain makes this test's program each of the project's, under its name, as a release has them.
// That the linker sets the version, and that the programs start, is shown where releases are made.
func TestMain(m *testing.M) {
	version = release
	switch name := filepath.Base(os.Args[0]); name {
	case "pod-creation-reachability-latency":
		os.Exit(agent.Main(agent.PodCreation(), version, os.Args[1:], os.Stdout, os.Stderr))
	case "policy-creation-enforcement-latency":
		os.Exit(agent.Main(agent.PolicyCreation(), version, os.Args[1:], os.Stdout, os.Stderr))
	case "netpol-latency", "kubectl-netpol_latency", "kubectl_complete-netpol_latency":
		main()
	}
	os.Exit(m.Run())
}

// A release's programs say which it is, under each of the names that they are installed as, and the
// shell completes them.
func TestPrograms(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"netpol-latency", "kubectl-netpol_latency",
		"kubectl_complete-netpol_latency", "pod-creation-reachability-latency",
		"policy-creation-enforcement-latency"} {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Run("version", testVersion)
	t.Run("plugin", testPlugin)
	t.Run("bash", testBash)
}

func testVersion(t *testing.T) {
	for _, line := range []string{
		"netpol-latency version", "kubectl-netpol_latency version",
		"pod-creation-reachability-latency -version",
		"policy-creation-enforcement-latency --version",
	} {
		program := strings.Fields(line)[0]
		if program == "kubectl-netpol_latency" {
			program = "netpol-latency"
		}
		got := output(t, strings.Fields(line)...)
		for _, want := range []string{program + " " + release + "\n", runtime.GOOS + "/" +
			runtime.GOARCH + "\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s prints %q; want it to contain %q", line, got, want)
			}
		}
	}
}

func testPlugin(t *testing.T) {
	if got, want := output(t, "kubectl-netpol_latency", "run", "--help"),
		"kubectl netpol-latency run [SCENARIO…]"; !strings.Contains(got, want) {
		t.Errorf("the plugin's help lacks %q:\n%s", want, got)
	}
	if got, want := output(t, "kubectl_complete-netpol_latency", "run", "--family", ""),
		"IPv4\nIPv6\n:36\n"; got != want {
		t.Errorf("kubectl is offered %q; want %q", got, want)
	}
}

// testBash has a real bash with its bash-completion complete what a user has typed, and press no
// more keys.
func testBash(t *testing.T) {
	const library = "/usr/share/bash-completion/bash_completion"
	need.File(t, library, "make check-packages installs bash-completion")
	tests := []struct {
		typed string
		want  []string
	}{
		{"netpol-latency scen", []string{"scenarios"}},
		{"netpol-latency run policy-de", []string{
			"policy-deny      (A policy that isolates is created: how long does traffic still " +
				"flow?)",
			"policy-deletion  (A policy is deleted: first one that allows, then the one that " +
				"isolates.)",
		}},
		{"netpol-latency run policy-deny pod-l", []string{"pod-label"}},
		{"netpol-latency run --family IPv", []string{"IPv4", "IPv6"}},
		{"netpol-latency run --direction=", []string{
			"egress   (policies of the pods that connect)", "ingress  (policies of the targets)",
		}},
		{"netpol-latency run -o d", []string{"directory"}},
		{"netpol-latency run -c s", []string{"suite.yaml"}},
		{"netpol-latency run --targets ", nil},
	}
	dir := t.TempDir()
	for _, name := range []string{"suite.yaml", "suite.txt", "directory/file"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range tests {
		t.Run(test.typed, func(t *testing.T) {
			bash := exec.Command("bash", "--norc", "-c", `
source "$1"
source <(netpol-latency completion bash)
COMP_LINE=$2 COMP_POINT=${#2} COMP_TYPE=63 COMP_KEY=9 COLUMNS=100
read -ra COMP_WORDS <<< "${2//=/ = }"
[[ $2 == *[\ =] ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p netpol-latency | sed 's/.*-F \([^ ]*\).*/\1/') 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
`, "bash", library, test.typed)
			bash.Dir = dir
			out, err := bash.Output()
			if err != nil {
				t.Fatalf("bash: %v", err)
			}
			var got []string
			if text := strings.TrimSpace(string(out)); text != "" {
				got = strings.Split(text, "\n")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the completions differ (-want +got):\n%s", diff)
			}
		})
	}
}

func output(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	return string(out)
}
