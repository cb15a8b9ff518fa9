// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Figure names a duration that a [Summary] has: min, mean, median, max or pNN, for example p99 or
// p99.9.
type Figure string

// ParseFigure reads the name of a figure.
func ParseFigure(text string) (Figure, error) {
	figure := Figure(text)
	if _, ok := figure.quantile(); !ok && figure != "mean" {
		return "", fmt.Errorf("unknown figure %q: expected min, mean, median, p0 to p100 or max",
			text)
	}
	return figure, nil
}

// of is the figure of a summary; without latencies ok is false.
func (f Figure) of(s Summary) (value observed, ok bool) {
	if len(s.observed) == 0 {
		return observed{}, false
	}
	if f == "mean" {
		mean, longer := s.Mean()
		return observed{mean, longer}, true
	}
	q, _ := f.quantile()
	found := s.Quantile(q)
	return observed{found.Value, found.Longer}, true
}

// quantile is the share of the pairs that the figure is about, if it is about one.
func (f Figure) quantile() (float64, bool) {
	switch f {
	case "min":
		return 0, true
	case "median":
		return 0.5, true
	case "max":
		return 1, true
	}
	digits, ok := strings.CutPrefix(string(f), "p")
	percent, err := strconv.ParseFloat(digits, 64)
	plain := !strings.ContainsFunc(digits, unicode.IsLetter) // 1e1 and nan are floats too
	return percent / 100, ok && plain && err == nil && percent >= 0 && percent <= 100
}
