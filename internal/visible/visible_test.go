// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package visible

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestText(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "web-0 of naïve 東京 ≤475ms", "web-0 of naïve 東京 ≤475ms"},
		{"line breaks", "two\nlines", "two\nlines"},
		{"an escape sequence", "\x1b[2J\x1b]0;title\a", `\x1b[2J\x1b]0;title\x07`},
		{"a carriage return and a tab", "a\rb\tc", `a\x0db\x09c`},
		{"zero and delete", "\x00\x7f", `\x00\x7f`},
		{"C1", "\u009b31m", `\u009b31m`},
		{"C1 as a byte", "\x9b31m\xff", `\x9b31m\xff`},
		{"other directions", "a\u202eb\u2066c\u061c\u200f", `a\u202eb\u2066c\u061c\u200f`},
		{"separators", "a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"tags", "a\U000e0041", `a\U000e0041`},
		{"the sign of a decoder", "a\ufffdb", "a\ufffdb"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Text(test.text); got != test.want {
				t.Errorf("Text(%q) = %q; want %q", test.text, got, test.want)
			}
		})
	}
	if got, want := Line("two\nlines\x1b"), `two lines\x1b`; got != want {
		t.Errorf("Line() = %q; want %q", got, want)
	}
}

func TestFields(t *testing.T) {
	type inner struct{ Name string }
	type outer struct {
		Named   string
		kept    string
		Pointer *inner
		None    *inner
		List    []string
		Structs []inner
		Map     map[string]any
		Raw     []byte
		JSON    json.RawMessage
		At      time.Time
	}
	value := outer{
		Named: "a\x1b", kept: "k\x1b", Pointer: &inner{"b\n\x1b"}, List: []string{"c\x1b"},
		Structs: []inner{{"d\x1b"}}, Raw: []byte("\x1b"), At: time.Unix(1, 0),
		JSON: json.RawMessage(`{"n":12345678901234567890,"s":"\u001b"}`),
		Map:  map[string]any{"e\x1b": []any{"f\x1b", 1.5, nil}},
	}
	Fields(&value)

	want := outer{
		Named: `a\x1b`, kept: "k\x1b", Pointer: &inner{`b \x1b`}, List: []string{`c\x1b`},
		Structs: []inner{{`d\x1b`}}, Raw: []byte("\x1b"), At: time.Unix(1, 0),
		JSON: json.RawMessage(`{"n":12345678901234567890,"s":"\\x1b"}`),
		Map:  map[string]any{`e\x1b`: []any{`f\x1b`, 1.5, nil}},
	}
	if diff := cmp.Diff(want, value, cmp.AllowUnexported(outer{})); diff != "" {
		t.Errorf("Fields() (-want +got):\n%s", diff)
	}
}

func FuzzText(f *testing.F) {
	f.Add("plain\n\x1b[31m\u202e\x9b")
	f.Fuzz(func(t *testing.T, text string) {
		got := Text(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
			return r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
		}) {
			t.Errorf("Text(%q) = %q", text, got)
		}
		if Text(got) != got {
			t.Errorf("Text(%q) = %q, which is not shown as it is", text, got)
		}
	})
}
