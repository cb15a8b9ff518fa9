// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A message that no program prints any more is of no help to anybody.
func TestTroubleshootingQuotesTheSource(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, dir := range []string{"internal", "manifests", "lab/internal"} {
		found, err := Texts(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, found...)
	}

	quotes := Quotes(string(page))
	if len(quotes) == 0 {
		t.Error("the page explains no message")
	}
	for _, quote := range quotes {
		if !slices.ContainsFunc(texts, func(text string) bool { return Quoted(quote, text) }) {
			t.Errorf("%q is explained, but no program says so", quote)
		}
	}
}

func TestTexts(t *testing.T) {
	dir := t.TempDir()
	const source = "package a\n\nvar e = fmt.Errorf(\"open %q of %[2]d: \"+\n\t\"expected %.1f: " +
		"%w\", x)\nvar s = say(\"text \" + name)\n"
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Texts(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"open … of …: expected …: …", "text …"}, got); diff != "" {
		t.Errorf("the texts differ (-want +got):\n%s", diff)
	}
}

func TestQuotes(t *testing.T) {
	const text = "- `a …`, `b: c`: what `d` means\n- `e` is none\n  - `f`: nor is this\n"
	if diff := cmp.Diff([]string{"a …", "b: c"}, Quotes(text)); diff != "" {
		t.Errorf("the quotes differ (-want +got):\n%s", diff)
	}
	for quote, want := range map[string]bool{
		"open … of": true, "expected a": true, "pen": false, "open a": false, "expected … a": false,
	} {
		if Quoted(quote, "open … of b: expected a") != want {
			t.Errorf("Quoted(%q, …) is %v; want %v", quote, !want, want)
		}
	}
}
