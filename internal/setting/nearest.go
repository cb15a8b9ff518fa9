// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package setting

import (
	"fmt"
	"slices"
	"strings"
)

// OneOf is nil if a value is among the known ones, and else an error that lists them, with the one
// that was probably meant.
func OneOf(what, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s %q: expected one of %s%s", what, value, strings.Join(known, ", "),
		Hint(value, known))
}

// Hint is the end of a sentence about an unknown word: which one was probably meant, if any.
func Hint(word string, known []string) string {
	if meant := Nearest(word, known); meant != "" {
		return "; did you mean " + meant + "?"
	}
	return ""
}

// Nearest is the known word that differs from a word in the fewest letters, in one out of three at
// most; empty if there is none.
func Nearest(word string, known []string) string {
	found, fewest := "", len(word)/3
	for _, one := range known {
		d := distance(strings.ToLower(word), strings.ToLower(one))
		if d < fewest || d == fewest && found == "" {
			found, fewest = one, d
		}
	}
	return found
}

// distance is how many letters must be put in, taken out or exchanged to make one word of another
// (Levenshtein, 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}

	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}

	return row[len(b)]
}
