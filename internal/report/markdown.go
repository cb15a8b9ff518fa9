// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Markdown writes a table for each setting of each run, as a comment on a change shows it.
func Markdown(w io.Writer, reports []Report) error {
	var page bytes.Buffer
	for i, report := range reports {
		if i > 0 {
			fmt.Fprintln(&page)
		}
		markdownOf(&page, report)
	}

	if lines := placements(reports); len(lines) > 0 {
		fmt.Fprintln(&page)
		for i, line := range lines {
			lines[i] = escape(line)
		}
		list(&page, lines)
	}

	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}

	return nil
}

func markdownOf(page *bytes.Buffer, report Report) {
	run := report.Run
	fmt.Fprintf(page, "### Network policy latency, run %s, %s\n", escape(run.ID),
		run.Began.UTC().Format("2006-01-02 15:04 UTC"))
	summaries := report.Assessment.Summaries()
	for _, group := range bySetting(summaries) {
		fmt.Fprintln(page)
		if group[0].Setting != "" {
			fmt.Fprintf(page, "%s:\n\n", escape(group[0].Setting))
		}
		fmt.Fprint(page, "| scenario | measured | p50 (95% CI) | p90 | p95 | p99 (95% CI) | max | "+
			"resolution p50 |\n"+
			"| --- | --- | --- | --- | --- | --- | --- | --- |\n")
		for _, summary := range group {
			fmt.Fprintln(page, markdownRow(summary))
		}
	}

	for _, one := range report.Disruptions() {
		one.markdown(page)
	}
	lines := []string{account(summaries)}
	assessment := report.Assessment
	for _, one := range notable(assessment) {
		lines = append(lines, fmt.Sprintf("**finding (%s):** %s", one.Severity,
			escape(one.String())))
	}

	for _, one := range assessment.Thresholds {
		lines = append(lines, "threshold "+escape(one.Text))
	}

	lines = append(lines, escape(outcome(assessment)))
	for _, warning := range append(warnings(summaries), run.Warnings...) {
		lines = append(lines, "**warning:** "+escape(warning))
	}

	fmt.Fprintln(page)
	list(page, lines)
	fmt.Fprint(page, "\n<details><summary>environment</summary>\n\n")
	for _, fact := range environment(run) {
		fmt.Fprintf(page, "- %s: %s\n", fact[0], escape(fact[1]))
	}

	fmt.Fprint(page, "\n</details>\n")
}

func markdownRow(s measure.Summary) string {
	of := fmt.Sprintf("%d of %d", s.Account.Count(measure.Measured), s.Account.Expected)
	if s.Kind.Stays() {
		return fmt.Sprintf("| %s | %s | %s | | | | | |", escape(s.Scenario), of,
			escape(StaysText(s)))
	}

	texts := []string{escape(s.Scenario), of}
	cells := Cells(s)
	for _, one := range cells[1:] {
		text := one.Value
		interval, known := one.Interval()
		if known && (one.Name == "p50" || one.Name == "p99") {
			text += " (" + interval + ")"
		}
		texts = append(texts, text)
	}

	texts = append(texts, FindCell(cells, "p50").Resolution)
	return "| " + strings.Join(texts, " | ") + " |"
}

func list(page *bytes.Buffer, lines []string) {
	for _, line := range lines {
		fmt.Fprintln(page, "- "+line)
	}
}

// escape keeps a text from being taken for markup.
func escape(text string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", "*", "\\*", "_", "\\_", "`",
		"\\`", "$", "\\$",
		"\n", " ", "&", "&amp;", "#", "\\#", "@", "&#64;",
		"[", "\\[", "]", "\\]", "://", "&#58;//", "www.", "www&#46;").Replace(text)
}
