// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"bytes"
	"fmt"
	"html/template"
	"io"

	"github.com/netpol-latency/netpol-latency/internal/report"
)

// Write writes the document about the runs, in their order. Nothing is written if it cannot be
// made.
func Write(w io.Writer, reports []report.Report) error {
	page, err := newPage(reports)
	if err != nil {
		return err
	}
	return write(w, page)
}

func write(w io.Writer, page page) error {
	parsed, err := template.ParseFS(files, "assets/*.html")
	if err != nil {
		return fmt.Errorf("read the template of the HTML report: %w", err)
	}
	var document bytes.Buffer
	if err := parsed.ExecuteTemplate(&document, "page.html", page); err != nil {
		return fmt.Errorf("make the HTML report: %w", err)
	}
	if _, err := w.Write(document.Bytes()); err != nil {
		return fmt.Errorf("write the HTML report: %w", err)
	}
	return nil
}
