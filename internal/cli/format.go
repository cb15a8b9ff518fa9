// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/report"
)

// htmlFormat is the format that a browser shows.
const htmlFormat = "html"

// describeFormats lists formats for a help text.
func describeFormats[T any](formats []report.Format[T]) string {
	text := ""
	for _, one := range formats {
		text += fmt.Sprintf("  %-12s %s\n", one.Name, one.Summary)
	}
	return text
}

// offerFormats has the shell offer formats for --format.
func offerFormats[T any](cmd *cobra.Command, formats []report.Format[T]) {
	var words []cobra.Completion
	for _, one := range formats {
		words = append(words, cobra.CompletionWithDesc(one.Name, one.Summary))
	}
	offer(cmd, "format", words...)
}

// findFormat is the format of a name.
func findFormat[T any](formats []report.Format[T], name string) (report.Format[T], error) {
	var known []string
	for _, one := range formats {
		known = append(known, one.Name)
	}
	at := slices.Index(known, name)
	if at < 0 {
		return report.Format[T]{}, fmt.Errorf("format %q: expected one of %s", name,
			strings.Join(known, ", "))
	}
	return formats[at], nil
}

// write writes about something to a file or directory, or to standard output if the path is empty.
// Nothing is left of a document that could not be made.
func write[T any](stdout io.Writer, path string, format report.Format[T], about T) error {
	switch {
	case path == "":
		return format.Write(stdout, about)
	case format.Files == nil:
		var page bytes.Buffer
		if err := format.Write(&page, about); err != nil {
			return err
		}
		return replace(path, page.Bytes())
	}

	files, err := format.Files(about)
	if err != nil {
		return err
	}
	return replaceAll(path, files)
}
