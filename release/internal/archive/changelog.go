// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

// unreleased is the section of what has no version yet.
const unreleased = "Unreleased"

// notes are the section of the changelog for the source's version. A version that is no release,
// such as what Git says of a commit after one, has those of what is not released yet.
func notes(source build.Source) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(source.Dir, "CHANGELOG.md"))
	if err != nil {
		return nil, fmt.Errorf("read the changelog: %w", err)
	}

	heading := source.Version
	if !regexp.MustCompile(`^v\d+\.\d+\.\d+(-(alpha|beta|rc)[.\d]*)?$`).MatchString(heading) {
		heading = unreleased
	}

	found := section(string(text), heading)
	if found == "" {
		return nil, fmt.Errorf("write the notes of %s: expected a section \"## %s\" in "+
			"CHANGELOG.md that says what has changed", source.Version, heading)
	}

	return []byte(found), nil
}

// section is what stands below the heading "## NAME", which may go on with a date; empty without
// one.
func section(changelog, name string) string {
	var text strings.Builder
	inside := false
	for line := range strings.Lines(changelog) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			first, _, _ := strings.Cut(strings.TrimSpace(heading), " ")
			inside = first == name
			continue
		}
		if inside {
			text.WriteString(line)
		}
	}

	if strings.TrimSpace(text.String()) == "" {
		return ""
	}

	return strings.TrimSpace(text.String()) + "\n"
}
