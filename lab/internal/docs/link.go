// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"strings"
	"unicode"
)

// Links are the targets of the links of a document's text, but those to the web.
func Links(text string) []string {
	var links []string
	for _, found := range regexp.MustCompile(`\]\(([^()\s]+)\)`).
		FindAllStringSubmatch(withoutBlocks(text), -1) {
		if !strings.Contains(found[1], "://") {
			links = append(links, found[1])
		}
	}
	return links
}

// Anchors are the names under which the headings of a document's text can be linked, as code
// hosting sites make them: in lower case, spaces to dashes, without punctuation.
func Anchors(text string) map[string]bool {
	anchors := make(map[string]bool)
	for line := range strings.Lines(withoutBlocks(text)) {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		anchors[anchor(strings.TrimSpace(heading))] = true
	}
	return anchors
}

func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, heading)
}

// withoutBlocks is the text without its fenced blocks.
func withoutBlocks(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "")
}
