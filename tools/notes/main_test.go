// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

const changelog = `# Changelog

## Unreleased

## v1.10.0 (2026-03-01)

- The newest.
  On two lines.

### Fixed

- A mistake.

## v1.1.0

- The first.
`

func TestSection(t *testing.T) {
	tests := []struct{ version, want string }{
		{"v1.10.0", "- The newest.\n  On two lines.\n\n### Fixed\n\n- A mistake.\n"},
		{"v1.1.0", "- The first.\n"},
	}
	for _, test := range tests {
		if got, err := section(changelog, test.version); err != nil || got != test.want {
			t.Errorf("section(%s) = %q, %v; want %q", test.version, got, err, test.want)
		}
	}
	refused := map[string]string{"v1.1": "no section", "v1.10.00": "no section",
		"Unreleased": "is empty"}
	for version, want := range refused {
		if _, err := section(changelog, version); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("section(%s) gives %v; want %q", version, err, want)
		}
	}
}

// Every section of the project's own changelog makes notes; only the one of what is unreleased may
// be empty.
func TestRun(t *testing.T) {
	const file = "../../CHANGELOG.md"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	headings := regexp.MustCompile(`(?m)^## (\S+)`).FindAllStringSubmatch(string(content), -1)
	if len(headings) == 0 {
		t.Errorf("%s has no section", file)
	}
	for _, heading := range headings {
		var stdout bytes.Buffer
		err := run([]string{file, heading[1]}, &stdout, &bytes.Buffer{})
		if empty := heading[1] == "Unreleased" && err != nil &&
			strings.Contains(err.Error(), "is empty"); empty {
			continue
		}
		if err != nil || !strings.HasPrefix(stdout.String(), "- ") {
			t.Errorf("the notes of %s are %q: %v", heading[1], stdout.String(), err)
		}
	}
}
