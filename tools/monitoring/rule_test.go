// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/netpol-latency/netpol-latency/internal/need"
)

// rule is what the tests read of one.
type rule struct {
	Record      string            `json:"record"`
	Alert       string            `json:"alert"`
	Annotations map[string]string `json:"annotations"`
}

// promtool runs Prometheus' own checker on a file beside the rules.
func promtool(t *testing.T, file string, arguments ...string) (string, error) {
	t.Helper()
	program := need.Program(t, "promtool", "make prometheus builds it into bin/: put that on the "+
		"PATH")
	output, err := exec.CommandContext(t.Context(), program,
		append(arguments, file)...).CombinedOutput()
	return string(output), err
}

// The rules are Prometheus' own language, and do what rules_test.yaml says.
func TestRules(t *testing.T) {
	dir := filepath.Join(deploy, "prometheus")
	output, err := promtool(t, filepath.Join(dir, "rules.yaml"), "check", "rules", "--lint=all",
		"--lint-fatal")
	if err != nil {
		t.Errorf("the rules are wrong: %v\n%s", err, output)
	}
	if output, err := promtool(t, filepath.Join(dir, "rules_test.yaml"), "test",
		"rules"); err != nil {
		t.Errorf("the rules do something else: %v\n%s", err, output)
	}
}

// Every rule has a test, and every alert a chapter of the documentation, which it names.
func TestRulesAreTestedAndExplained(t *testing.T) {
	read := func(path ...string) []byte {
		content, err := os.ReadFile(filepath.Join(path...))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal(read(deploy, "prometheus", "rules.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	tests := string(read(deploy, "prometheus", "rules_test.yaml"))
	manual := string(read("..", "..", "docs", "monitoring.md"))
	found := 0
	for _, group := range file.Groups {
		for _, one := range group.Rules {
			found++
			if !strings.Contains(tests, one.Record+one.Alert) {
				t.Errorf("rule %s has no test in rules_test.yaml", one.Record+one.Alert)
			}
			if one.Alert == "" {
				continue
			}
			if !strings.Contains(manual, "### "+one.Alert+"\n") {
				t.Errorf("docs/monitoring.md has no chapter %s", one.Alert)
			}
			link, anchor := one.Annotations["runbook_url"],
				"docs/monitoring.md#"+strings.ToLower(one.Alert)
			if !strings.HasSuffix(link, anchor) {
				t.Errorf("%s names %q; want a link to %s", one.Alert, link, anchor)
			}
		}
	}
	if found == 0 {
		t.Error("there are no rules")
	}
}

// The operator's object has the same rules.
func TestRuleObject(t *testing.T) {
	object, err := renderRule(filepath.Join(deploy, "prometheus", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct{ Spec map[string]any }
	if err := yaml.Unmarshal(object, &parsed); err != nil {
		t.Fatal(err)
	}
	spec, err := yaml.Marshal(parsed.Spec)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(deploy, "prometheus", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules map[string]any
	if err := yaml.Unmarshal(file, &rules); err != nil {
		t.Fatal(err)
	}
	want, err := yaml.Marshal(rules)
	if err != nil {
		t.Fatal(err)
	}
	if string(spec) != string(want) {
		t.Errorf("the object's rules are\n%s\nwant\n%s", spec, want)
	}
	wrong := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(wrong, []byte("rules: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := renderRule(wrong); err == nil || !strings.Contains(err.Error(), "groups:") {
		t.Errorf("a file without rules gives the error %v", err)
	}
}
