// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import "io"

// Format is a form of documents about something: reports on runs, or a comparison.
type Format[T any] struct {
	Name string
	// Summary says in a few words what it is for.
	Summary string
	// Write writes everything as one document.
	Write func(w io.Writer, about T) error
	// Files are the documents of a format whose readers expect several, by the names that they
	// expect; else nil.
	Files func(about T) ([]File, error)
}

// File is a document with the name that its readers expect.
type File struct {
	Name    string
	Content []byte
}

// Formats are all formats of reports on runs in this package, the default first.
func Formats() []Format[[]Report] {
	return []Format[[]Report]{
		{Name: "text", Summary: "tables for a terminal", Write: Text},
		{Name: "markdown", Summary: "for a comment on a pull request", Write: Markdown},
		{Name: "json", Summary: "everything, for programs", Write: JSON},
		{Name: "csv", Summary: "one line for each sample", Write: CSV},
		{Name: "junit", Summary: "a test case for each scenario and threshold", Write: JUnit},
		{Name: "perfdata", Summary: "ClusterLoader2's, for perfdash", Write: PerfData,
			Files: perfDataFiles},
		{Name: "kube-burner", Summary: "quantile documents like kube-burner's", Write: KubeBurner},
		{Name: "benchfmt", Summary: "Go benchmark lines, for benchstat", Write: Bench},
	}
}

// ComparisonFormats are all formats of comparisons in this package, the default first.
func ComparisonFormats() []Format[Comparison] {
	return []Format[Comparison]{
		{Name: "text", Summary: "tables for a terminal", Write: ComparisonText},
		{Name: "markdown", Summary: "for a comment on a pull request", Write: ComparisonMarkdown},
	}
}
