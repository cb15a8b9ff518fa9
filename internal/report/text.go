// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// Text writes what a person reads in a terminal, at most 100 columns wide.
func Text(w io.Writer, sources []Source) error {
	var page bytes.Buffer
	for i, source := range sources {
		if i > 0 {
			fmt.Fprintln(&page)
		}
		if err := textOf(&page, source); err != nil {
			return err
		}
	}
	for _, line := range placements(sources) {
		fmt.Fprintln(&page, line)
	}
	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func textOf(page *bytes.Buffer, source Source) error {
	run := source.Run
	fmt.Fprintf(page, "run %s, %s, %s\n", run.ID, run.Began.UTC().Format("2006-01-02 15:04:05 UTC"),
		run.Ended.Sub(run.Began).Round(time.Second))
	for _, fact := range environment(run) {
		wrapped(page, fmt.Sprintf("  %-12s", fact[0]), fact[1])
	}
	fmt.Fprintln(page)
	summaries := source.Summaries()
	if err := Tables(page, summaries); err != nil {
		return err
	}
	fmt.Fprintln(page, account(summaries))
	for _, warning := range run.Warnings {
		wrapped(page, "warning: ", warning)
	}
	assessment := source.Assess()
	if err := Findings(page, assessment); err != nil {
		return err
	}
	wrapped(page, "", outcome(assessment))
	return nil
}

// environment is what a run says about where and how it was made: names and values.
func environment(run result.Run) [][2]string {
	plugins, nodes := make([]string, 0, len(run.Plugins)), make([]string, 0, len(run.Nodes))
	for _, plugin := range run.Plugins {
		plugins = append(plugins, strings.TrimSpace(plugin.Name+" "+plugin.Version))
	}
	for _, node := range run.Nodes {
		nodes = append(nodes, fmt.Sprintf("%s (kernel %s, %s)", node.Name, known(node.Kernel), known(node.OS)))
	}
	return [][2]string{
		{"command", command(run)},
		{"version", known(run.Version)},
		{"kubernetes", known(run.Kubernetes)},
		{"plugins", known(strings.Join(plugins, ", "))},
		{"nodes", known(strings.Join(nodes, ", "))},
	}
}

func known(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// command is the command that repeats the run, as a shell reads it.
func command(run result.Run) string {
	words := []string{"netpol-latency"}
	for _, word := range run.Command {
		if word == "" || strings.ContainsAny(word, " \t\n'\"\\$&|;<>()*?[]#~=!{}`") && !plainFlag(word) {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// plainFlag reports whether a word is --flag=value with nothing that a shell would touch.
func plainFlag(word string) bool {
	return strings.HasPrefix(word, "-") && !strings.ContainsAny(word, " \t\n'\"\\$&|;<>()*?[]#~!{}`")
}

// account adds the results up.
func account(summaries []measure.Summary) string {
	var expected, leaks, flaps int
	text := ""
	for _, status := range measure.Statuses() {
		count := 0
		for _, summary := range summaries {
			count += summary.Account.Count(status)
		}
		text += fmt.Sprintf(", %d %s", count, status)
	}
	for _, summary := range summaries {
		expected, leaks, flaps = expected+summary.Account.Expected, leaks+summary.Leaks, flaps+summary.Flaps
	}
	return fmt.Sprintf("account: %d expected%s; %d leaks, %d flaps", expected, text, leaks, flaps)
}

// wrapped writes a text of many words beside a label, in lines of at most 100 columns.
func wrapped(page *bytes.Buffer, label, text string) {
	const columns = 100
	line := label
	indent := strings.Repeat(" ", len(label))
	for word := range strings.FieldsSeq(text) {
		if len(line) > len(indent) && len(line)+len(word) > columns {
			fmt.Fprintln(page, strings.TrimRight(line, " "))
			line = indent
		}
		line += word + " "
	}
	fmt.Fprintln(page, strings.TrimRight(line, " "))
}

// placements hold the results on the same node against those on other nodes, where runs have both.
func placements(sources []Source) []string {
	byPlace := map[Place]map[string]measure.Summary{PlaceSame: {}, PlaceOther: {}}
	var names []string
	for _, source := range sources {
		for _, summary := range source.Summaries() {
			place := byPlace[source.Place(summary)]
			if place == nil || summary.Kind == measure.KindBlocked {
				continue
			}
			if _, has := place[summary.Scenario]; !has {
				names = append(names, summary.Scenario)
				place[summary.Scenario] = summary
			}
		}
	}
	var lines []string
	for i, name := range names {
		same, hasSame := byPlace[PlaceSame][name]
		other, hasOther := byPlace[PlaceOther][name]
		if !hasSame || !hasOther || slices.Contains(names[:i], name) {
			continue
		}
		cell := func(s measure.Summary, q float64) string { return value(s, s.Quantile(q)) }
		lines = append(lines, fmt.Sprintf("same node against other nodes: %s: p50 %s and %s, p99 %s and %s", name,
			cell(same, 0.5), cell(other, 0.5), cell(same, 0.99), cell(other, 0.99)))
	}
	return lines
}
