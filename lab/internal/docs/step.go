// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"strings"
)

// Step is a command and what a document says that it prints.
type Step struct {
	Command string
	// Output is empty if the document does not say.
	Output string
}

// Steps are the commands of a block. In a block of the language "console" they follow "$ ", each
// with its output; any other is one command.
func (b Block) Steps() []Step {
	if b.Language != "console" {
		return []Step{{Command: b.substitute(b.Text)}}
	}

	var steps []Step
	var open bool
	var end string
	for line := range strings.Lines(b.Text) {
		text := strings.TrimSuffix(line, "\n")
		command, begins := strings.CutPrefix(line, "$ ")
		switch {
		case end != "":
			steps[len(steps)-1].Command += line
			if text == end {
				end = ""
			}
			continue
		case begins:
			steps = append(steps, Step{Command: b.substitute(command)})
		case open:
			steps[len(steps)-1].Command += b.substitute(line)
		case len(steps) > 0:
			steps[len(steps)-1].Output += line
			continue
		}
		open = strings.HasSuffix(text, `\`)
		if here := regexp.MustCompile(`<<'?([A-Z]+)`).FindStringSubmatch(text); here != nil {
			end = here[1]
		}
	}

	return steps
}

// substitute puts the values of the mark into the places of the words that they are of, but for
// variables.
func (b Block) substitute(text string) string {
	for name, value := range b.Mark.Env {
		place := regexp.MustCompile(`(^|[^\w${])` + name + `\b`)
		text = place.ReplaceAllString(text, "${1}"+strings.ReplaceAll(value, "$", "$$"))
	}
	return text
}

// Prints reports whether a command printed what a document says. Figures count as equal, with their
// units and whether they are bounds, and so do spaces, of which tables have more or less; … is any
// text, and on a line of its own any lines.
func Prints(want, got string) bool {
	form := regexp.MustCompile(`\d[\d.,:]*(?:(?:[nµum]?s|m|h|%|[KMG]i?B)\b)?|…|[^\S\n]+`)
	var pattern strings.Builder
	for line := range strings.Lines(want) {
		line = strings.TrimSpace(line)
		if line == "…" {
			pattern.WriteString(`(?:.*\n)*`)
			continue
		}
		pattern.WriteString(`[^\S\n]*`)
		rest := line
		for rest != "" {
			at := form.FindStringIndex(rest)
			if at == nil {
				at = []int{len(rest), len(rest)}
			}
			pattern.WriteString(regexp.QuoteMeta(rest[:at[0]]) + masked(rest[at[0]:at[1]]))
			rest = rest[at[1]:]
		}
		pattern.WriteString(`[^\S\n]*\n`)
	}

	if !strings.HasSuffix(got, "\n") {
		got += "\n"
	}

	return regexp.MustCompile(`^` + pattern.String() + `$`).MatchString(got)
}

// masked is the pattern of a figure, of an ellipsis or of spaces.
func masked(text string) string {
	switch {
	case text == "":
		return ""
	case text == "…":
		return `.*`
	case strings.TrimSpace(text) == "":
		return `[^\S\n]+`
	default:
		return `[≤>]?\d[\d.,:]*(?:[nµum]?s|m|h|%|[KMG]i?B)?`
	}
}
