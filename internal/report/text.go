// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// Text writes what a person reads in a terminal, at most 100 columns wide.
func Text(w io.Writer, reports []Report) error {
	var page bytes.Buffer
	for i, report := range reports {
		if i > 0 {
			fmt.Fprintln(&page)
		}
		if err := textOf(&page, report); err != nil {
			return err
		}
	}

	for _, line := range placements(reports) {
		wrapped(&page, "", line)
	}

	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}

	return nil
}

func textOf(page *bytes.Buffer, report Report) error {
	run := report.Run
	fmt.Fprintf(page, "run %s, %s, %s\n", run.ID, run.Began.UTC().Format("2006-01-02 15:04:05 UTC"),
		run.Ended.Sub(run.Began).Round(time.Second))
	for _, fact := range environment(run) {
		wrapped(page, fmt.Sprintf("  %-12s", fact[0]), fact[1])
	}

	fmt.Fprintln(page)
	summaries := report.Assessment.Summaries()
	if err := Tables(page, summaries); err != nil {
		return err
	}

	if err := DisruptionText(page, report.Disruptions()); err != nil {
		return err
	}
	fmt.Fprintln(page, account(summaries))
	for _, warning := range run.Warnings {
		wrapped(page, "warning: ", warning)
	}

	if err := Findings(page, report.Assessment); err != nil {
		return err
	}

	wrapped(page, "", outcome(report.Assessment))
	return nil
}

// environment is what a run says about where and how it was made: names and values.
func environment(run result.Run) [][2]string {
	plugins, nodes := make([]string, 0, len(run.Plugins)), make([]string, 0, len(run.Nodes))
	for _, plugin := range run.Plugins {
		plugins = append(plugins, plugin.String())
	}

	for _, node := range run.Nodes {
		nodes = append(nodes, fmt.Sprintf("%s (kernel %s, %s)", node.Name, known(node.Kernel),
			known(node.OS)))
	}

	all := [][2]string{
		{"command", CommandLine(run)},
		{"version", known(run.Version)},
	}
	if run.Context != "" { // there is none in a pod, and earlier versions did not note it
		all = append(all, [2]string{"context", run.Context})
	}
	return append(all, [][2]string{
		{"kubernetes", known(run.Kubernetes)},
		{"plugins", known(strings.Join(plugins, ", "))},
		{"nodes", known(strings.Join(nodes, ", "))},
	}...)
}

func known(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
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
		expected, leaks, flaps = expected+summary.Account.Expected, leaks+summary.Leaks,
			flaps+summary.Flaps
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
