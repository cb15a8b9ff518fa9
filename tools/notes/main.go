// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command notes prints the notes of a release: its section of the changelog.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "notes: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("notes", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Print the notes of a release.\n\nUsage:\n  notes CHANGELOG VERSION\n\n"+
			"Example:\n  go run ./notes ../CHANGELOG.md v1.2.3\n")
	}

	if err := flags.Parse(args); err != nil {
		return err
	}

	if flags.NArg() != 2 {
		return fmt.Errorf("got %d arguments: expected two, the changelog and a version",
			flags.NArg())
	}

	content, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return fmt.Errorf("read the changelog: %w", err)
	}

	text, err := section(string(content), flags.Arg(1))
	if err != nil {
		return fmt.Errorf("find the notes in %s: %w", flags.Arg(0), err)
	}

	if _, err := io.WriteString(stdout, text); err != nil {
		return fmt.Errorf("print the notes: %w", err)
	}

	return nil
}

// section is what stands below the heading "## VERSION", which may go on with a date.
func section(changelog, version string) (string, error) {
	var text strings.Builder
	found := false
	for line := range strings.Lines(changelog) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			if found {
				break
			}
			words := strings.Fields(heading)
			found = len(words) > 0 && words[0] == version
			continue
		}
		if found {
			text.WriteString(line)
		}
	}

	notes := strings.TrimSpace(text.String())
	switch {
	case !found:
		return "", fmt.Errorf("no section %q: expected one, with what has changed", "## "+version)
	case notes == "":
		return "", fmt.Errorf("the section %q is empty: expected what has changed", "## "+version)
	}

	return notes + "\n", nil
}
