// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package setting

import (
	"encoding/csv"
	"fmt"
	"strings"
)

// Items are the texts of a setting that is a list: between commas, and in double quotes where they
// have commas themselves (RFC 4180).
func (f Field) Items(s Settings) ([]string, error) {
	text := f.Text(s)
	if text == "" {
		return nil, nil
	}
	items, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, f.Wrong(text, fmt.Errorf("read the list: %w", err))
	}
	return items, nil
}

// Wrong is the error that a text is not what the setting takes.
func (f Field) Wrong(text string, why error) error {
	return fmt.Errorf("--%s %q: expected %s: %w", f.Name, text, f.Expected(), why)
}

// Append is the text of a setting that is a list, with another text.
func (f Field) Append(s Settings, text string) string {
	if before := f.Text(s); before != "" {
		return before + "," + text
	}
	return text
}
