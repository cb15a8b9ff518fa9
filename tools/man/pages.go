// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/netpol-latency/netpol-latency/internal/cli"
)

// write makes the pages, one for each command, in a new or an existing directory. Their date is
// that of SOURCE_DATE_EPOCH, if it is set, and else the current month.
func write(release, directory string) error {
	root := cli.Command(release)
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true
	escapeAll(root)
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}

	source := strings.TrimSpace(cli.Name + " " + release)
	header := &doc.GenManHeader{Section: "1", Source: source, Manual: cli.Name}
	if err := doc.GenManTree(root, header, directory); err != nil {
		return fmt.Errorf("write the manual pages: %w", err)
	}

	return nil
}

// escapeAll readies the texts of a command, and of those below, for cobra, which takes them for
// Markdown: "p99<500ms" would lose its limit as if that were a tag. Examples are code there, and
// stay.
func escapeAll(cmd *cobra.Command) {
	cmd.Short, cmd.Long = escape(cmd.Short), escape(cmd.Long)
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { flag.Usage = escape(flag.Usage) })
	for _, child := range cmd.Commands() {
		escapeAll(child)
	}
}

// escape leaves lines alone that begin with a tab: they are code too.
func escape(text string) string {
	special := strings.NewReplacer("<", `\<`, "*", `\*`, "_", `\_`, "`", "\\`")
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "\t") {
			lines[i] = special.Replace(line)
		}
	}
	return strings.Join(lines, "\n")
}
