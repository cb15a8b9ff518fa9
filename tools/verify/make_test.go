// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// run makes a target in the project, and returns whether it worked and what it printed.
func run(t *testing.T, arguments ...string) (worked bool, output string) {
	t.Helper()
	cmd := exec.Command("make", append([]string{"-C", root}, arguments...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS"}, name)
	})
	content, err := cmd.CombinedOutput()
	return err == nil, string(content)
}

// The licenses that are allowed suffice: that is what "make check" shows.
func TestLicenses(t *testing.T) {
	if worked, output := run(t, "licenses", "LICENSES=Apache-2.0,MIT"); worked ||
		!strings.Contains(output,
			"Not allowed license 'BSD-3-Clause' found for library 'golang.org/x/net'") {
		t.Errorf("a license that is not allowed: worked %v\n%s", worked, output)
	}
}

// What is made for packages is there, and names the release.
func TestPackages(t *testing.T) {
	if worked, output := run(t, "man", "completions", "notices", "VERSION=v1.2.3"); !worked {
		t.Fatalf("make failed:\n%s", output)
	}
	for file, want := range map[string]string{
		"man/netpol-latency-run.1":        "netpol-latency v1.2.3",
		"completions/netpol-latency.bash": "complete -o default",
		"completions/netpol-latency.fish": "complete -c netpol-latency",
		"completions/netpol-latency.powershell": "Register-ArgumentCompleter -CommandName " +
			"'netpol-latency'",
		"completions/netpol-latency.zsh":             "#compdef netpol-latency",
		"notices/github.com/spf13/cobra/LICENSE.txt": "Apache License",
	} {
		content, err := os.ReadFile(filepath.Join(root, "bin", filepath.FromSlash(file)))
		if err != nil || !strings.Contains(string(content), want) {
			t.Errorf("%s lacks %q: %v", file, want, err)
		}
	}
}

// The check of workflows reads their scripts too, which it would leave out without a word if
// shellcheck were missing.
func TestWorkflowCheck(t *testing.T) {
	const workflow = `name: test
on: push
jobs:
  test:
    runs-on: ubuntu-24.04
    steps:
      - run: LINE
`
	tests := []struct{ name, line, want string }{
		{"a good script", "echo hello", ""},
		{"a script that shellcheck minds", "rm $UNQUOTED/*", "SC2086"},
		{"an expression that does not exist", "echo ${{ github.nothing }}",
			`property "nothing" is not defined`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "workflow.yaml")
			if err := os.WriteFile(file, []byte(strings.Replace(workflow, "LINE", test.line, 1)),
				0o600); err != nil {
				t.Fatal(err)
			}
			worked, output := run(t, "workflows", "WORKFLOWS="+file)
			if worked != (test.want == "") || !strings.Contains(output, test.want) {
				t.Errorf("worked %v; want %q:\n%s", worked, test.want, output)
			}
		})
	}
}

// database is a list of known vulnerabilities, each of a symbol of the package cobra, which the
// command line is made of: GO-2026-0001 is of the first, and so on.
func database(t *testing.T, symbols ...string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for i, symbol := range symbols {
		id := fmt.Sprintf("GO-2026-%04d", i+1)
		about := `"id": "` + id + `", "modified": "2026-01-02T03:04:05Z"`
		all = append(all, "{"+about+"}")
		write("ID/"+id+".json", `{`+about+`, "schema_version": "1.3.1", "published": "2026-01-02T03:04:05Z",
			"summary": "made up for a test", "details": "it is not real", "database_specific": {"url": "https://vulnerabilities.example"},
			"affected": [{"package": {"name": "github.com/spf13/cobra", "ecosystem": "Go"},
				"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
				"ecosystem_specific": {"imports": [{"path": "github.com/spf13/cobra", "symbols": ["`+symbol+`"]}]}}]}`)
	}
	list := "[" + strings.Join(all, ", ") + "]"
	write("index/db.json", `{"modified": "2026-01-02T03:04:05Z"}`)
	write("index/vulns.json", list)
	write("index/modules.json", `[{"path": "github.com/spf13/cobra", "vulns": `+list+`}]`)
	return "VULNDB=file://" + dir
}

func TestVulnerabilities(t *testing.T) {
	const refused = "Vulnerabilities were NOT checked"
	t.Run("a symbol that the programs call, and one that they do not", func(t *testing.T) {
		worked, output := run(t, "vulnerabilities", database(t, "Command.ExecuteContext",
			"Command.GenBashCompletionFile"))
		if worked || !strings.Contains(output, "GO-2026-0001") ||
			strings.Contains(output, "GO-2026-0002") || strings.Contains(output, refused) {
			t.Errorf("worked %v:\n%s", worked, output)
		}
	})
	t.Run("nothing is known", func(t *testing.T) {
		worked, output := run(t, "vulnerabilities", database(t))
		if !worked || !strings.Contains(output, "No vulnerabilities found") {
			t.Errorf("worked %v:\n%s", worked, output)
		}
	})
	t.Run("a database that cannot be read", func(t *testing.T) {
		worked, output := run(t, "vulnerabilities", "VULNDB=file://"+filepath.Join(t.TempDir(),
			"none"))
		if worked || !strings.Contains(output, refused) {
			t.Errorf("worked %v:\n%s", worked, output)
		}
	})
}
