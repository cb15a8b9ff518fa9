// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/netpol-latency/netpol-latency/internal/cli"
)

// Every command has a page, which man and mandoc take without complaint, and which says all that
// --help says.
func TestPages(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1767323045")
	dir := t.TempDir()
	if err := write("v1.2.3", dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	lint := exec.Command("mandoc", append([]string{"-T", "lint", "-W", "error"}, files...)...)
	if output, err := lint.CombinedOutput(); err != nil {
		t.Errorf("mandoc finds errors: %v\n%s", err, output)
	}
	root := cli.Command("v1.2.3")
	root.InitDefaultCompletionCmd()
	pages := 0
	visit(root, func(cmd *cobra.Command) {
		pages++
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			checkPage(t, cmd, render(t, filepath.Join(dir,
				strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")))
		})
	})
	if len(files) != pages {
		t.Errorf("there are %d pages for %d commands", len(files), pages)
	}
}

// checkPage holds a page, whose white space is single blanks, against its command.
func checkPage(t *testing.T, cmd *cobra.Command, page string) {
	t.Helper()
	wanted := []string{"NAME", "SYNOPSIS", "DESCRIPTION", cmd.UseLine(), cmd.Short,
		"netpol-latency v1.2.3 Jan 2026"}
	wanted = append(wanted, strings.Split(cmd.Example, "\n")...)
	if !strings.Contains(cmd.Long, "\n\t") { // code of its own has white space of its own
		wanted = append(wanted, cmd.Long)
	}
	cmd.NonInheritedFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return // an older spelling, which works and is not offered
		}
		wanted = append(wanted, "--"+flag.Name, flag.Usage)
	})
	for _, text := range wanted {
		if text = strings.Join(strings.Fields(text), " "); !strings.Contains(page, text) {
			t.Errorf("the page lacks %q:\n%s", text, page)
		}
	}
}

// render is what man shows, in one long line.
func render(t *testing.T, file string) string {
	t.Helper()
	man := exec.Command("man", "--warnings", "--no-hyphenation", "--no-justification",
		"--local-file", file)
	man.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=5000", "MANPAGER=cat",
		"MAN_KEEP_FORMATTING=")
	var stderr bytes.Buffer
	man.Stderr = &stderr
	out, err := man.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("man complains about %s: %v %s", filepath.Base(file), err, &stderr)
	}
	return strings.Join(strings.Fields(strings.NewReplacer("‐", "-", "’",
		"'").Replace(string(out))), " ")
}

func visit(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, child := range cmd.Commands() {
		visit(child, do)
	}
}

func TestRun(t *testing.T) {
	if err := run(nil, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(),
		"expected one, the directory") {
		t.Errorf("no argument gives %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{file}, &bytes.Buffer{}); err == nil ||
		!strings.Contains(err.Error(), "make the directory") {
		t.Errorf("a file in place of the directory gives %v", err)
	}
}
