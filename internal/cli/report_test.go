// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// FuzzReport puts a text wherever a directory of results has one, as somebody could who sends one
// around, and writes it in every format: nothing of the text reaches the reader that could be taken
// for anything but text.
func FuzzReport(f *testing.F) {
	f.Add("\x1b]0;title\a\x1b[2J\x00\r\t\v\x7f\u009b31m\u202eabc\u2066two\nlines\xff\xfe\u2028")
	f.Add("=cmd|'/c calc'!A0</script><!-- ]]> a/b [x](http://y)")
	harmless := sourceOf(f, f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, text string) {
		source := sourceOf(t, t.TempDir(), text)
		for _, format := range reportFormats() {
			var page, plain bytes.Buffer
			if err := format.Write(&page, report.Build(source)); err != nil {
				t.Fatalf("%s: %v", format.Name, err)
			}
			if err := format.Write(&plain, report.Build(harmless)); err != nil {
				t.Fatal(err)
			}
			got, want := controls(format.Name, page.String()), controls(format.Name, plain.String())
			if got != want {
				t.Errorf("%s has other control characters with %q: %q; want %q", format.Name, text,
					got, want)
			}
			if format.Name != htmlFormat && want != "" {
				t.Errorf("%s has the control characters %q", format.Name, want)
			}
		}
	})
}

// controls are the characters of a page that no text may have; a page of HTML comes with scripts,
// which have some.
func controls(format, page string) string {
	if format == "csv" {
		page = strings.ReplaceAll(page, "\r\n", "\n") // as RFC 4180 ends lines
	}
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return r
		}
		return -1
	}, page)
}

// sourceOf is a run whose directory has a text in every field.
func sourceOf(t testing.TB, directory, text string) report.Source {
	t.Helper()
	run := map[string]any{
		"schema": 3, "id": text, "version": text, "command": []string{text}, "kubernetes": text,
		"plugins": []any{map[string]any{"name": text, "version": text}},
		"nodes":   []any{map[string]any{"name": text, "kernel": text, "os": text}},
		"scenarios": []any{map[string]any{"scenario": text, "setting": text,
			"settings": map[string]any{text: text}, "agentNodes": []string{text},
			"targetNodes": []string{text}}},
		"warnings": []string{text},
	}
	sample := map[string]any{
		"schema": 3, "scenario": text, "namespace": text, "pod": text, "uid": text,
		"address": "10.0.0.1:80", "reason": text, "cause": text, "startSource": text,
		"start": "2026-01-01T00:00:00Z", "lower": "2026-01-01T00:00:01Z",
		"upper": "2026-01-01T00:00:02Z", "baseline": text, "evidence": text, "setting": text,
		"want": text, "clientNamespace": text, "clientPod": text, "clientUid": text,
		"clientNode": text, "node": text, "probes": map[string]int{text: 1},
		"warnings": []string{text}, "round": 1,
	}
	var lines []byte
	for _, status := range []string{"measured", "censored", "invalid", "deleted", "unobserved"} {
		for _, kind := range []string{"new-connection", "must-stay-blocked"} {
			sample["status"], sample["kind"] = status, kind
			lines = append(append(lines, encode(t, sample)...), '\n')
		}
	}

	for name, content := range map[string][]byte{"run.json": encode(t, run),
		"samples.jsonl": lines} {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source, err := report.Open(directory, setting.All())
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestFurtherThresholds counts what the report says of the thresholds that were given, and of no
// others; one that the run has already is in it once.
func TestFurtherThresholds(t *testing.T) {
	source := sourceOf(t, t.TempDir(), "policy-deny")
	own, err := measure.ParseThreshold("policy-deny.expected==7")
	if err != nil {
		t.Fatal(err)
	}
	source.Thresholds = []measure.Threshold{own}
	for _, test := range []struct {
		name         string
		texts        []string
		failed, said int
	}{
		{"none is given", nil, 0, 1},
		{"the run's own", []string{"policy-deny.expected==7"}, 1, 1},
		{"one that passes", []string{"policy-deny.expected>=0"}, 0, 2},
		{"one that fails twice is one", []string{"policy-deny.expected>999",
			"policy-deny.expected>999"},
			1, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			sources := []report.Source{source}
			further, err := limit(sources, test.texts)
			if err != nil {
				t.Fatal(err)
			}
			reports := report.Build(sources...)
			said := len(reports[0].Assessment.Thresholds)
			if failed := failures(reports, further); failed != test.failed || said != test.said {
				t.Errorf("%d failed of %d; want %d of %d", failed, said, test.failed, test.said)
			}
		})
	}
}
