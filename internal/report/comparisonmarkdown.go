// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// ComparisonMarkdown writes a table, as a comment on a change shows it.
func ComparisonMarkdown(w io.Writer, c Comparison) error {
	var page bytes.Buffer
	fmt.Fprintf(&page, "### Network policy latency, old vs new\n\n- old: %s\n- new: %s\n\n",
		escape(c.Old.Describe()),
		escape(c.New.Describe()))
	fmt.Fprint(&page, "| scenario | statistic | old | new | change | 95% CI low | high | in % | "+
		"low | high | p | |\n"+
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, one := range c.Results {
		for _, statistic := range one.Statistics {
			fmt.Fprintf(&page, "| %s | %s | %s |\n", escape(one.Name), statistic.Statistic,
				strings.Join(statistic.Cells(), " | "))
		}
		if len(one.Statistics) == 0 {
			fmt.Fprintf(&page, "| %s | leaks | %d | %d | | | | | | | | |\n", escape(one.Name),
				one.Old.Leaks, one.New.Leaks)
		}
	}

	var lines []string
	for _, check := range c.Checks {
		lines = append(lines, escape(check.Text()))
	}

	for _, warning := range c.Warnings {
		lines = append(lines, "**warning:** "+escape(warning))
	}

	if len(lines) > 0 {
		fmt.Fprintln(&page)
	}

	list(&page, lines)
	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}

	return nil
}
