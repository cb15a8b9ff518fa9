// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package architecture holds the rules of who may import whom, as a test. docs/architecture.md says
// why.
package architecture

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/netpol-latency/netpol-latency/"

// rule is what the files of a package, without its tests, may import besides the standard library.
type rule struct {
	own    []string // packages of this module
	others []string // prefixes of other modules
}

func rules() map[string]rule {
	kubernetes := []string{"k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/client-go/",
		"k8s.io/klog/v2"}
	return map[string]rule{
		"internal/measure": {},
		"internal/probe": {
			own: []string{"internal/measure", "internal/probe/pace",
				"internal/probe/packet"},
			others: []string{"golang.org/x/sys/unix"},
		},
		"internal/gate": {own: []string{"internal/measure", "internal/probe"}},
		"internal/cli/wait": {
			own: []string{"internal/gate", "internal/interrupt", "internal/measure",
				"internal/ownpod", "internal/version", "internal/visible"},
			others: []string{"github.com/spf13/cobra", "golang.org/x/term"},
		},
		"internal/probe/pace": {own: []string{"internal/measure"}},
		"internal/probe/packet": {
			others: []string{"github.com/vishvananda/netlink/nl", "golang.org/x/net/bpf",
				"golang.org/x/sys/unix"},
		},
		"internal/kube":     {own: []string{"internal/measure"}, others: kubernetes},
		"internal/protocol": {},
		"internal/setting":  {own: []string{"internal/measure"}},
		"internal/result": {own: []string{"internal/measure", "internal/setting",
			"internal/visible"}},
		"internal/report": {own: []string{"internal/measure", "internal/result",
			"internal/setting"}},
		"internal/report/html": {own: []string{"internal/measure", "internal/report",
			"internal/result", "internal/setting"}},
		"internal/overlay": {own: []string{"internal/scenario", "internal/setting"},
			others: append(kubernetes, "sigs.k8s.io/yaml")},
		"internal/visible":   {},
		"internal/interrupt": {},
		"internal/ownpod":    {},
		"internal/need":      {},
		"internal/version":   {},
		"internal/suite": {own: []string{"internal/measure", "internal/setting"},
			others: []string{"go.yaml.in/yaml/v3"}},
		"internal/scenario": {
			own:    []string{"internal/measure", "internal/protocol", "internal/setting"},
			others: kubernetes,
		},
		"internal/runner": {
			own: []string{
				"internal/kube", "internal/measure", "internal/protocol", "internal/result",
				"internal/overlay", "internal/scenario",
				"internal/setting", "internal/visible",
			},
			others: append(kubernetes, "golang.org/x/sync/errgroup", "golang.org/x/time/rate"),
		},
		"internal/agent": {
			own: []string{
				"internal/interrupt", "internal/kube", "internal/measure", "internal/probe",
				"internal/probe/pace", "internal/protocol",
				"internal/result", "internal/version",
			},
			others: append(kubernetes, "github.com/prometheus/client_golang/",
				"golang.org/x/net/netutil", "golang.org/x/sync/errgroup"),
		},
		"internal/cli": {
			own: []string{
				"internal/agent", "internal/cli/wait", "internal/gate", "internal/interrupt",
				"internal/kube",
				"internal/measure", "internal/overlay", "internal/probe", "internal/report",
				"internal/report/html", "internal/result", "internal/runner", "internal/scenario",
				"internal/setting", "internal/suite",
				"internal/version", "internal/visible", "manifests",
			},
			others: append(kubernetes, "github.com/spf13/", "golang.org/x/term",
				"sigs.k8s.io/yaml"),
		},
		"manifests":                               {others: append(kubernetes, "sigs.k8s.io/yaml")},
		"cmd/netpol-latency":                      {own: []string{"internal/cli"}},
		"cmd/netpol-latency-wait":                 {own: []string{"internal/cli/wait"}},
		"cmd/pod-creation-reachability-latency":   {own: []string{"internal/agent"}},
		"cmd/policy-creation-enforcement-latency": {own: []string{"internal/agent"}},
		"internal/architecture":                   {},
	}
}

func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	all := rules()
	seen := make(map[string]bool)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{"lab", "browser", "release", "tools", "bin",
			".git", "testdata"}, path.Base(relative)) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(relative, ".go") {
			return nil
		}
		directory := filepath.ToSlash(filepath.Dir(relative))
		seen[directory] = true
		rule, known := all[directory]
		if !known {
			t.Errorf("package %s has no rule: decide who may import what, here and in "+
				"docs/architecture.md", directory)
			return nil
		}
		if !strings.HasSuffix(relative, "_test.go") {
			check(t, relative, file, rule)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for directory := range all {
		if !seen[directory] {
			t.Errorf("there is a rule for package %s, which does not exist", directory)
		}
	}
}

// check reports what a file imports against the rule of its package.
func check(t *testing.T, name, file string, rule rule) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		own, isOwn := strings.CutPrefix(imported, module)
		switch {
		case isOwn && slices.Contains(rule.own, own):
		// standard library
		case !isOwn && !strings.Contains(strings.SplitN(imported, "/", 2)[0], "."):
		case !isOwn && slices.ContainsFunc(rule.others, func(p string) bool {
			return strings.HasPrefix(imported, p)
		}):
		default:
			t.Errorf("%s imports %s, which its package may not", name, imported)
		}
	}
}

// The noun package computes only: it neither reads clocks nor does I/O.
func TestMeasureIsPure(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "measure", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files of package measure: %v", len(files), err)
	}
	pure := rule{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		check(t, file, file, pure)
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			for _, banned := range []string{"os", "io", "net", "net/http", "context", "sync",
				"bufio"} {
				if spec.Path.Value == strconv.Quote(banned) {
					t.Errorf("%s imports %s: package measure does no I/O and starts nothing", file,
						banned)
				}
			}
		}
	}
}
