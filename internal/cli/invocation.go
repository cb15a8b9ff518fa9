// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Name is the name of the program.
const Name = "netpol-latency"

// The names under which kubectl finds a plugin and what completes it: in a file's name a dash
// separates commands, so that the one in the plugin's name is written as an underscore.
const (
	pluginFile   = "kubectl-netpol_latency"
	completeFile = "kubectl_complete-netpol_latency"
)

// invocation is how the program was started.
type invocation struct {
	// call is what the user types.
	call string
	// before are arguments that come before those of the user.
	before []string
	// plugin says that kubectl started it.
	plugin bool
}

// standalone is a program of its own.
func standalone() invocation { return invocation{call: Name} }

// startedAs is the invocation by the name of a program's file.
func startedAs(file string) invocation {
	plugin := invocation{call: "kubectl " + Name, plugin: true}
	switch strings.TrimSuffix(filepath.Base(file), ".exe") {
	case pluginFile:
		return plugin
	case completeFile:
		plugin.before = []string{cobra.ShellCompRequestCmd}
		return plugin
	}
	return standalone()
}

// rewordAll has every text of the commands call the program as its user does.
func rewordAll(root, cmd *cobra.Command) {
	cmd.Long, cmd.Example = reword(root, cmd.Long), reword(root, cmd.Example)
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { flag.Usage = reword(root, flag.Usage) })
	for _, child := range cmd.Commands() {
		rewordAll(root, child)
	}
}

// reword finds the program's commands in a text, and calls the program as its user does.
func reword(root *cobra.Command, text string) string {
	if root.DisplayName() == Name {
		return text
	}
	var names []string
	for _, child := range root.Commands() {
		names = append(names, regexp.QuoteMeta(child.Name()))
	}
	command := regexp.MustCompile(`(^|[\s"'(|])` + Name + ` (` + strings.Join(names, "|") + `)\b`)
	return command.ReplaceAllString(text, "${1}"+root.DisplayName()+" ${2}")
}
