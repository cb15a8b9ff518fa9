// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor_test

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// widest is the number of columns that all output must fit.
const widest = 100

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"up", "run", "set", "component", "node", "enter", "kubectl",
		"version"} {
		t.Run(name, func(t *testing.T) {
			output, err := command(t, "help", name)
			check(t, err)
			if !strings.Contains(output, "Examples:\n  netpol-latency-lab "+name) {
				t.Errorf("the help of %s has no example:\n%s", name, output)
			}
			for line := range strings.Lines(output) {
				if columns := utf8.RuneCountInString(strings.TrimSuffix(line,
					"\n")); columns > widest {
					t.Errorf("a line of the help of %s has %d columns, want at most %d:\n%s", name,
						columns, widest, line)
				}
			}
		})
	}
}
