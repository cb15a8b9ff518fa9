// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// file is what is being read, and what is wrong with it.
type file struct {
	name     string
	known    Known
	mistakes []mistake
}

// mistake is one thing that is wrong, and where; lines and columns count from 1.
type mistake struct {
	file         string
	line, column int
	text         string
}

func (m mistake) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.file, m.line, m.column,
		m.text)
}

// mistake notes what is wrong with a node.
func (f *file) mistake(node *yaml.Node, format string, values ...any) {
	f.mistakes = append(f.mistakes, mistake{f.name, node.Line, node.Column,
		fmt.Sprintf(format, values...)})
}

// err joins the mistakes in the order of the file.
func (f *file) err() error {
	slices.SortStableFunc(f.mistakes, func(a, b mistake) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var all []error
	for _, one := range f.mistakes {
		all = append(all, one)
	}
	return errors.Join(all...)
}

// parse is the content of the file's only document, nil if there is none that can be read.
func (f *file) parse(content []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		f.mistake(&yaml.Node{Line: 1, Column: 1}, "the suite is empty: expected runs")
		return nil
	case err != nil:
		f.syntax(err)
		return nil
	}

	switch err := decoder.Decode(&second); {
	case err == nil:
		f.mistake(&second, "a second document: expected one suite in a file")
	case !errors.Is(err, io.EOF):
		f.syntax(err)
	}

	return document.Content[0]
}

// syntax notes what is not YAML. The module tells the line within a text, if at all, and no column.
func (f *file) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	at := &yaml.Node{Line: 1, Column: 1}
	if parts := regexp.MustCompile(`(?s)^line (\d+): (.*)$`).
		FindStringSubmatch(text); parts != nil {
		at.Line, _ = strconv.Atoi(parts[1]) // digits
		text = parts[2]
	}
	f.mistake(at, "this is no YAML: %s", text)
}

// entry is a key of a mapping with its value.
type entry struct {
	key, value *yaml.Node
}

// place is where to look for what is wrong with the value; one that is missing has no place of its
// own.
func (e entry) place() *yaml.Node {
	if e.value.Kind == yaml.ScalarNode && e.value.Value == "" && e.value.Style == 0 {
		return e.key
	}
	return e.value
}

// mapping are the entries of a mapping that has each of the known keys once at the most; what says
// in messages whose it is.
func (f *file) mapping(node *yaml.Node, what string, known []string) []entry {
	from := resolved(node)
	if from.Kind != yaml.MappingNode {
		f.mistake(node, "%s is %s: expected a mapping, with keys out of %s",
			what, kindName(from.Kind), strings.Join(known, ", "))
		return nil
	}

	var all []entry
	for i := 0; i+1 < len(from.Content); i += 2 {
		one := entry{from.Content[i], from.Content[i+1]}
		first := slices.IndexFunc(all, func(e entry) bool { return e.key.Value == one.key.Value })
		switch {
		case one.key.Kind != yaml.ScalarNode:
			f.mistake(one.key, "a key is %s: expected one of %s", kindName(one.key.Kind),
				strings.Join(known, ", "))
		case !slices.Contains(known, one.key.Value):
			f.mistake(one.key, "%v", setting.OneOf("unknown key", one.key.Value, known...))
		case first >= 0:
			f.mistake(one.key,
				"key %q is there twice: expected it once, and line %d has it already",
				one.key.Value, all[first].key.Line)
		default:
			all = append(all, one)
		}
	}

	return all
}

// list are the elements of a list.
func (f *file) list(of entry) []*yaml.Node {
	from := resolved(of.value)
	if from.Kind != yaml.SequenceNode {
		f.mistake(of.place(), "%s is %s: expected a list", of.key.Value, kindName(from.Kind))
		return nil
	}
	return from.Content
}

// resolved is what a node stands for.
func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// kindName is what a kind of node is called in messages.
func kindName(kind yaml.Kind) string {
	switch kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		return "a single value"
	}
}
