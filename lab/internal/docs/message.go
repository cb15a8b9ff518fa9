// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Messages are texts of a package that a user can meet, with … for what is filled in.
type Messages struct {
	// Errors are the texts of errors, Texts all others.
	Errors, Texts []string
}

// ReadMessages reads the texts in the source of the package in a directory, without its tests.
func ReadMessages(dir string) (Messages, error) {
	var found Messages
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return found, fmt.Errorf("read the source of %s: %w", dir, err)
	}

	if len(paths) == 0 {
		return found, fmt.Errorf("read the source of %s: %w", dir, fs.ErrNotExist)
	}

	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return found, fmt.Errorf("read the source of %s: %w", dir, err)
		}
		found.read(file)
	}

	return found, nil
}

func (m *Messages) read(file *ast.File) {
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.CallExpr:
			if text := message(node); text != "" {
				m.Errors = append(m.Errors, text)
			}
		case ast.Expr:
			if text, ok := literal(node); ok {
				m.Texts = append(m.Texts, text)
				return false
			}
		}
		return true
	})
}

// message is the text of an error that a call makes; empty for any other call.
func message(call *ast.CallExpr) string {
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}

	of, ok := function.X.(*ast.Ident)
	if !ok || of.Name+"."+function.Sel.Name != "fmt.Errorf" &&
		of.Name+"."+function.Sel.Name != "errors.New" {
		return ""
	}

	text, _ := literal(call.Args[0])
	// An error that adds nothing but punctuation has its text from elsewhere.
	if strings.Trim(text, "…-: ()\n") == "" {
		return ""
	}

	return text
}

// literal is the text of a string, or of a sum of strings.
func literal(expression ast.Expr) (text string, ok bool) {
	switch e := expression.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			return "", false
		}
		return regexp.MustCompile(`"?%[-+#0-9.\[\]]*[a-zA-Z]"?`).ReplaceAllString(text, "…"), true
	case *ast.BinaryExpr:
		left, leftOK := literal(e.X)
		right, rightOK := literal(e.Y)
		if !leftOK && !rightOK {
			return "", false
		}
		if !leftOK {
			left = "…"
		}
		if !rightOK {
			right = "…"
		}
		return left + right, true
	}

	return "", false
}

// Quotes are the messages that a document explains: what is within backquotes in the first column
// of its tables whose heading is "message".
func Quotes(text string) []string {
	var quotes []string
	var within bool
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		switch {
		case len(cells) < 3:
			within = false
		case strings.TrimSpace(cells[1]) == "message":
			within = true
		case within:
			for _, quote := range regexp.MustCompile("``? ?([^`]+?) ?``?").
				FindAllStringSubmatch(cells[1], -1) {
				quotes = append(quotes, quote[1])
			}
		}
	}

	return quotes
}

// Quoted reports whether a quote is from a message: a part of it that begins with a whole word.
func Quoted(quote, message string) bool {
	return strings.Contains(message, quote) && // most are from others: an expression takes long
		regexp.MustCompile(`(^|[^\w])`+regexp.QuoteMeta(quote)).MatchString(message)
}
