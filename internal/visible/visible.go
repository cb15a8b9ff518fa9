// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package visible makes text from elsewhere harmless to whoever reads it: what a pod, an API server
// or the directory of a run says may hold characters that move a terminal's cursor, rename its
// window or turn a line around, and they would do so in every report. They are shown instead, where
// such text is read.
package visible

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Writer passes text on, such as the lines of a library's log, each as [Text] shows it.
type Writer struct{ To io.Writer }

// Write implements [io.Writer].
func (w Writer) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.To, Text(string(text))); err != nil {
		return 0, fmt.Errorf("write what is visible: %w", err)
	}
	return len(text), nil
}

// Text shows what cannot be printed as Go would write it, for example \x1b, but for line breaks.
func Text(text string) string { return show(text, '\n') }

// Line is text on one line: breaks become spaces.
func Line(text string) string { return show(strings.ReplaceAll(text, "\n", " "), -1) }

// show keeps one character that cannot be printed, and shows all others.
func show(text string, kept rune) string {
	clean := func(r rune) bool { return r == kept || harmless(r) }
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool {
		return !clean(r)
	}) < 0 {
		return text
	}

	var shown strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1: // some terminals take bytes for characters
			fmt.Fprintf(&shown, `\x%02x`, text[i])
		case clean(r):
			shown.WriteRune(r)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&shown, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&shown, `\u%04x`, r)
		default:
			fmt.Fprintf(&shown, `\U%08x`, r)
		}
	}
	return shown.String()
}

// harmless characters are neither controls (C0, DEL and C1) nor formats, such as those that change
// the direction of what follows, nor separators of lines.
func harmless(r rune) bool {
	return !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Fields puts every string that a value holds, in its fields, elements and keys, on one line:
// [Line] of it. The value is a pointer, as for a decoder.
func Fields(value any) { walk(reflect.ValueOf(value)) }

func walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if clean := Line(v.String()); v.CanSet() && clean != v.String() {
			v.SetString(clean)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem())
		}
	case reflect.Interface:
		walkInterface(v)
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() {
				walk(field)
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			walkBytes(v)
			return
		}
		for i := range v.Len() {
			walk(v.Index(i))
		}
	case reflect.Map:
		walkMap(v)
	}
}

// walkBytes leaves bytes alone, which are no text, unless they are JSON that was not decoded: that
// is encoded anew if it holds such text.
func walkBytes(v reflect.Value) {
	raw, ok := v.Interface().(json.RawMessage)
	if !ok || !v.CanSet() {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return // nobody can read it
	}

	before, _ := json.Marshal(value) // it was decoded a moment ago
	Fields(&value)
	if after, _ := json.Marshal(value); !bytes.Equal(before, after) {
		v.SetBytes(after)
	}
}

// walkInterface replaces what an interface holds, which cannot be set in it.
func walkInterface(v reflect.Value) {
	if v.IsNil() || !v.CanSet() {
		return
	}
	held := reflect.New(v.Elem().Type()).Elem()
	held.Set(v.Elem())
	walk(held)
	v.Set(held)
}

// walkMap replaces the keys and elements of a map, which cannot be set in it.
func walkMap(v reflect.Value) {
	copyOf := func(old reflect.Value) reflect.Value {
		found := reflect.New(old.Type()).Elem()
		found.Set(old)
		walk(found)
		return found
	}
	for _, key := range v.MapKeys() {
		element := copyOf(v.MapIndex(key))
		v.SetMapIndex(key, reflect.Value{})
		v.SetMapIndex(copyOf(key), element)
	}
}
