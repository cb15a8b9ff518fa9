// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/result"
)

// CommandLine is what a person types into a shell to repeat the run.
func CommandLine(run result.Run) string {
	words := []string{"netpol-latency"}
	for _, word := range run.Command {
		words = append(words, Quote(word))
	}
	return strings.Join(words, " ")
}

// Quote writes a word so that a POSIX shell takes it as it is.
func Quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:=,@%+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
