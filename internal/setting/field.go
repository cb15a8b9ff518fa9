// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package setting

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"
)

// Field is one setting. Its type is that of the default: a string, bool, int, float64 or
// time.Duration.
type Field struct {
	// Name is that of the flag and of the key in suites.
	Name string
	// Title is what sentences and tables call it.
	Title string
	// Usage is the help text of the flag.
	Usage   string
	Default any
	// Choices are the only values, if there are any; else Range says which there are.
	Choices []Choice
	Range   Range
	// Incidental settings say how much is measured or how long is waited for it, not what: results
	// that differ in nothing else belong together, and can be compared.
	Incidental bool
	// List says that the value is a list of texts, in the notation of [Items], and File that it may
	// be the name of a file with the value.
	List, File bool
	// Agent settings are told each agent, by a flag of the same name.
	Agent bool
	// Optional settings have no meaning where they are not given: they are noted only where they
	// are.
	Optional bool
	// Phrase is what a label says, with %s for the value; if it is empty the name and the value.
	Phrase string
	// Brief settings are told by the beginning of their value in a label.
	Brief bool
	// Usual is the default where that depends on other settings.
	Usual func(s Settings) any
	// Get and Set access the setting. Without them it is kept among those that have no field of
	// their own.
	Get func(s Settings) any
	Set func(s *Settings, value any)
}

// at is the field of a setting that has its place in the type of all settings.
func at[T any](of func(*Settings) *T, f Field) Field {
	f.Get = func(s Settings) any { return *of(&s) }
	f.Set = func(s *Settings, value any) { *of(s) = value.(T) }
	return f
}

// Choice is one of the values that a setting can have.
type Choice struct{ Value, Help string }

// Value is the setting's value.
func (f Field) Value(s Settings) any {
	if f.Get != nil {
		return f.Get(s)
	}
	if value, ok := s.more[f.Name]; ok {
		return value
	}
	return f.Default
}

// Text is the setting's value as Parse reads it.
func (f Field) Text(s Settings) string { return text(f.Value(s)) }

func text(value any) string {
	if number, ok := value.(float64); ok {
		return strconv.FormatFloat(number, 'g', -1, 64)
	}
	return fmt.Sprint(value)
}

// labelText is the value as a label has it: in one line, and no longer than a label bears.
func (f Field) labelText(s Settings) string {
	const longest = 40
	if !f.Brief {
		return f.Text(s)
	}
	line := []rune(strings.Join(strings.Fields(f.Text(s)), " "))
	if len(line) <= longest {
		return string(line)
	}
	return string(line[:longest]) + "…"
}

// With gives the setting a value. Copies that were made of the settings before keep theirs.
func (f Field) With(s *Settings, value any) {
	if f.Set != nil {
		f.Set(s, value)
		return
	}
	s.more = with(s.more, f.Name, value)
}

// with is a copy of a map with another entry.
func with[V any](m map[string]V, key string, value V) map[string]V {
	m = maps.Clone(m)
	if m == nil {
		m = make(map[string]V)
	}
	m[key] = value
	return m
}

// Parse gives the setting the value of a text. The error says what was wrong and what is expected.
func (f Field) Parse(s *Settings, text string) error {
	if len(f.Choices) > 0 {
		if err := OneOf(f.Name, text, f.Values()...); err != nil {
			return err
		}
	}
	value, ok := f.parse(text)
	if !ok || f.Range.Has != nil && !f.Range.Has(value) {
		return fmt.Errorf("%s %q: expected %s", f.Name, text, f.Expected())
	}
	f.With(s, value)
	s.given = with(s.given, f.Name, true)
	return nil
}

// parse reads a text as a value of the setting's type.
func (f Field) parse(text string) (value any, ok bool) {
	var err error
	switch f.Default.(type) {
	case bool:
		value, err = strconv.ParseBool(text)
	case int:
		value, err = strconv.Atoi(text)
	case float64:
		var number float64
		number, err = strconv.ParseFloat(text, 64)
		return number, err == nil && !math.IsNaN(number) && !math.IsInf(number, 0)
	case time.Duration:
		value, err = time.ParseDuration(text)
	default:
		value = text
	}

	return value, err == nil
}

// Values are the choices without their help.
func (f Field) Values() []string {
	var all []string
	for _, one := range f.Choices {
		all = append(all, one.Value)
	}
	return all
}

// Expected says what values the setting can have.
func (f Field) Expected() string {
	if len(f.Choices) > 0 {
		return "one of " + strings.Join(f.Values(), ", ")
	}
	return f.Range.Want
}
