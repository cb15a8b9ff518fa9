// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package oci finds container images in OCI image layouts and unpacks them.
//
//	reference.go  how a user names one
//	image.go      which image of a layout that is
//	unpack.go     its layers become a root file system
package oci

import (
	"fmt"
	"path/filepath"
	"strings"
)

// prefix tells an image from a program, in the words of other tools for layouts.
const prefix = "oci:"

// Reference names an image in a layout.
type Reference struct {
	// Dir is the layout's directory, an absolute path.
	Dir string
	// Tag is the image's name in the layout; empty if it is the only one.
	Tag string
}

// Parse reads "oci:DIR" or "oci:DIR:TAG". It reports false for a text that is about something else.
func Parse(text string) (Reference, bool, error) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return Reference{}, false, nil
	}
	dir, tag := rest, ""
	if colon := strings.LastIndex(rest, ":"); colon > strings.LastIndex(rest, "/") {
		dir, tag = rest[:colon], rest[colon+1:]
	}

	if dir == "" {
		return Reference{}, true, fmt.Errorf("image %q: expected %sDIR or %sDIR:TAG", text, prefix,
			prefix)
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return Reference{}, true, fmt.Errorf("image %q: %w", text, err)
	}

	return Reference{Dir: absolute, Tag: tag}, true, nil
}

// String is what Parse reads.
func (r Reference) String() string {
	if r.Tag == "" {
		return prefix + r.Dir
	}
	return prefix + r.Dir + ":" + r.Tag
}
