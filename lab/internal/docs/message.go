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

// Texts are the texts in the Go source below a directory, without its tests, with … for what is
// filled in.
func Texts(dir string) ([]string, error) {
	var texts []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") ||
			strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}

		ast.Inspect(file, func(node ast.Node) bool {
			expression, ok := node.(ast.Expr)
			if !ok {
				return true
			}
			text, ok := literal(expression)
			if ok {
				texts = append(texts, text)
			}
			return !ok
		})

		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the source in %s: %w", dir, err)
	}

	return texts, nil
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

// Quotes are the messages that a document explains: what is within backquotes at the beginning of
// an item of a list, before the colon.
func Quotes(text string) []string {
	item := regexp.MustCompile("(?m)^- ((?:`[^`]+`(?:, )?)+): ")
	var quotes []string
	for _, found := range item.FindAllStringSubmatch(text, -1) {
		for _, quote := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(found[1], -1) {
			quotes = append(quotes, quote[1])
		}
	}
	return quotes
}

// Quoted reports whether a quote is from a message: a part of it that begins with a whole word.
func Quoted(quote, message string) bool {
	return strings.Contains(message, quote) && // most are from others: an expression takes long
		regexp.MustCompile(`(^|[^\w])`+regexp.QuoteMeta(quote)).MatchString(message)
}
