// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/cli"
)

// root is the repository.
const root = "../../.."

// documents are the texts of the README and of all documents, by their paths.
func documents(t *testing.T) map[string]string {
	t.Helper()
	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	return texts
}

// A block without a mark is one that nobody has decided about.
func TestEveryBlockHasAMark(t *testing.T) {
	for file := range documents(t) {
		if _, err := Read(file); err != nil {
			t.Error(err)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	for file, text := range documents(t) {
		for _, link := range Links(text) {
			path, name, _ := strings.Cut(link, "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			content, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr == nil && info.IsDir() && name == "" {
				continue
			}
			if err != nil {
				t.Errorf("%s: the link %s leads nowhere", file, link)
				continue
			}
			if name != "" && !Anchors(string(content))[name] {
				t.Errorf("%s: the link %s: no such heading", file, link)
			}
		}
	}
}

// Documents that nobody finds are not read.
func TestIndexNamesEveryDocument(t *testing.T) {
	texts := documents(t)
	index := filepath.Join(root, "docs", "README.md")
	linked := make(map[string]bool)
	for _, link := range Links(texts[index]) {
		linked[filepath.Join(root, "docs", link)] = true
	}
	for file := range texts {
		if filepath.Base(file) != "README.md" && !linked[file] {
			t.Errorf("%s does not name %s", index, filepath.Base(file))
		}
	}
}

func TestTargetsOfMakeExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	exists := make(map[string]bool)
	for _, rule := range regexp.MustCompile(`(?m)^([\w-]+):`).
		FindAllStringSubmatch(string(makefile),
			-1) {
		exists[rule[1]] = true
	}
	// In prose a target is within backquotes; "make" is an English word.
	inProse, inBlock := regexp.MustCompile("`make\\s+([a-z][\\w-]*)(?:\\s+[A-Z]+=[^`]*)?`"),
		regexp.MustCompile(`(?m)^(?:\$ )? *make ([a-z][\w-]*)`)
	for file, text := range documents(t) {
		named := inProse.FindAllStringSubmatch(text, -1)
		blocks, err := Read(file)
		if err != nil {
			t.Error(err)
		}
		for _, block := range blocks {
			named = append(named, inBlock.FindAllStringSubmatch(block.Text, -1)...)
		}
		for _, name := range named {
			if !exists[name[1]] {
				t.Errorf("%s: make has no target %s", file, name[1])
			}
		}
	}
}

// Flags in blocks that are not run may not rot either.
func TestFlagsExist(t *testing.T) {
	for file := range documents(t) {
		blocks, err := Read(file)
		if err != nil {
			t.Error(err)
		}
		for _, block := range blocks {
			if !block.IsShell() {
				continue
			}
			for _, step := range block.Steps() {
				for _, problem := range unknown(step.Command) {
					t.Errorf("%s: %s", block, problem)
				}
			}
		}
	}
}

// unknown names the commands and flags of netpol-latency in a shell's text that do not exist.
func unknown(text string) []string {
	var problems []string
	text = regexp.MustCompile(`\\\n`).ReplaceAllString(text, " ")
	invocation := regexp.MustCompile(`(?m)(?:^|[|;&($] ?|\s)(?:bin/|\./|kubectl )?netpol-latency +([a-z][\w-]*)([^|;&\n)]*)`)
	for _, found := range invocation.FindAllStringSubmatch(text, -1) {
		line, _, _ := strings.Cut(found[2], " #")
		root := cli.Command("test")
		root.InitDefaultCompletionCmd()
		command, _, err := root.Find(found[1:2])
		if err != nil || command == root {
			problems = append(problems, "netpol-latency has no command "+found[1])
			continue
		}
		for _, flag := range regexp.MustCompile(`(?:^|\s)(--?[a-zA-Z][\w-]*)`).
			FindAllStringSubmatch(line, -1) {
			if !has(command, flag[1]) {
				problems = append(problems, "netpol-latency "+found[1]+" has no flag "+flag[1])
			}
		}
	}
	return problems
}

func has(command *cobra.Command, flag string) bool {
	command.InitDefaultHelpFlag()
	if name, long := strings.CutPrefix(flag, "--"); long {
		return command.Flag(name) != nil
	}
	return command.Flags().ShorthandLookup(flag[1:2]) != nil
}

func TestUnknown(t *testing.T) {
	for text, want := range map[string]string{
		"netpol-latency run --targets 3 -c x.yaml --help": "",
		"netpol-latency manifests x \\\n --bad | kubectl apply -f": "netpol-latency manifests " +
			"has no flag --bad",
		"netpol-latency measure --targets 3": "netpol-latency has no " +
			"command measure",
		"sudo tee x | kubectl netpol-latency run -z": "netpol-latency run has no " +
			"flag -z",
		"netpol-latency summary --wait  # not --forever": "",
	} {
		if got := strings.Join(unknown(text), ", "); got != want {
			t.Errorf("of %q %q is unknown; want %q", text, got, want)
		}
	}
}
