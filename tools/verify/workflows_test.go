// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what the rules are about.
type workflow struct {
	Permissions map[string]string `json:"permissions"`
	Env         map[string]string `json:"env"`
	Jobs        map[string]struct {
		Permissions map[string]string `json:"permissions"`
		Timeout     int               `json:"timeout-minutes"`
		Uses        string            `json:"uses"`
		Steps       []struct {
			Uses string         `json:"uses"`
			With map[string]any `json:"with"`
		} `json:"steps"`
	} `json:"jobs"`
}

// The workflows get no right that they do not name, run no action that can change under them, and
// know no host.
func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yaml"))
	if err != nil || len(files) != 3 {
		t.Fatalf("found %d workflows: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, broken := range mistakes(t, content) {
				t.Error(broken)
			}
		})
	}
}

func mistakes(t *testing.T, content []byte) (all []string) {
	t.Helper()
	var w workflow
	if err := yaml.Unmarshal(content, &w); err != nil {
		t.Fatal(err)
	}
	if w.Permissions == nil || len(w.Permissions) > 0 {
		all = append(all, fmt.Sprintf("the permissions of all jobs are %v: expected none",
			w.Permissions))
	}
	if want := goVersion(t); w.Env["GO"] != want {
		all = append(all, fmt.Sprintf("GO is %q: expected %q, as in go.mod", w.Env["GO"], want))
	}
	pinned := regexp.MustCompile(`^[\w-]+/[\w-]+@[0-9a-f]{40}$`)
	for name, job := range w.Jobs {
		if len(job.Permissions) == 0 || job.Uses == "" && job.Timeout == 0 {
			all = append(all, fmt.Sprintf("job %s: expected permissions, and a time-out", name))
		}
		for _, step := range job.Steps {
			if step.Uses != "" && !pinned.MatchString(step.Uses) {
				all = append(all, fmt.Sprintf("job %s uses %s: expected a commit's hash", name,
					step.Uses))
			}
			if strings.HasPrefix(step.Uses, "actions/checkout@") &&
				step.With["persist-credentials"] != false {
				all = append(all, fmt.Sprintf("job %s leaves its token in the checkout", name))
			}
		}
	}
	hosts := regexp.MustCompile(`[a-z0-9-]+\.(io|com|dev|net|org)/[a-z]`)
	for number, line := range strings.Split(string(content), "\n") {
		if host := hosts.FindString(line); host != "" && !isName(host) {
			all = append(all, fmt.Sprintf("line %d names a host: %s", number+1, line))
		}
		if strings.Contains(line,
			"uses: actions/") && !regexp.MustCompile(`# v\d+\.\d+\.\d+$`).MatchString(line) {
			all = append(all, fmt.Sprintf("line %d: expected the action's version in a comment",
				number+1))
		}
	}
	return all
}

// isName tells names that look like hosts: a Go module and an API group.
func isName(host string) bool { return host == "k8s.io/k" || host == "x-k8s.io/v" }

func goVersion(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(content)
	if found == nil {
		t.Fatal("go.mod has no Go version")
	}
	return string(found[1]) + ".x"
}

// The rules find what they are about.
func TestWorkflowRules(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, ".github", "workflows", "ci.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ old, other, want string }{
		{"permissions: {}", "permissions:\n  contents: write",
			"the permissions of all jobs are map[contents:write]"},
		{"    permissions:\n      contents: read\n", "", "expected permissions"},
		{"@11bd71901bbe5b1630ceea73d27597364c9af683", "@v4", "expected a commit's hash"},
		{"persist-credentials: false", "persist-credentials: true", "leaves its token"},
		{"make lint", "curl https://downloads.example.com/tool", "names a host"},
		{"1.26.x", "1.25.x", `GO is "1.25.x"`},
		{" # v4.2.2", "", "expected the action's version"},
	}
	for _, test := range tests {
		changed := strings.ReplaceAll(string(content), test.old, test.other)
		if found := strings.Join(mistakes(t, []byte(changed)), "\n"); !strings.Contains(found,
			test.want) {
			t.Errorf("with %q for %q the mistakes are %q; want %q", test.other, test.old, found,
				test.want)
		}
	}
}
