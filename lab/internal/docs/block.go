// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package docs reads the project's documents as a test does: code blocks with the marks that say
// what is to be done with them, links, and what a command must print.
//
// A mark is a comment on the line before a block:
//
//	<!-- run: lab, --delay 300ms -->     the commands are run in a lab with these flags
//	<!-- run: no cluster -->             the commands are run
//	<!-- not run: needs a cloud -->      they are not, and this is why
//	<!-- output -->                      what the last block that was run prints
//	<!-- output: some lines -->          the same, without the lines between those that are there
//	<!-- file: suite.yaml -->            a file for the blocks that follow
//
// After "lab" and "no cluster" may follow, each after a comma: "from the repository", the
// directory; "exit 2", the code that the commands end with; "env IMAGE=name", a value for the word
// IMAGE in the commands; "smaller --targets=2", flags that each "netpol-latency run" gets after its
// own.
package docs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Block is a fenced code block.
type Block struct {
	// File is the document's path, Line the number of the fence's line, from 1.
	File string
	Line int
	// Language is what follows the fence, for example "bash".
	Language string
	// Text is the block's content, without the indentation of its fence.
	Text string
	Mark Mark
}

// String is the place of the block, for messages.
func (b Block) String() string { return fmt.Sprintf("%s:%d", b.File, b.Line) }

// IsShell reports whether the block holds commands.
func (b Block) IsShell() bool {
	return slices.Contains([]string{"sh", "bash", "console"},
		b.Language)
}

// Files are the paths of the README and of all documents of the repository in the directory root.
func Files(root string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, fmt.Errorf("find the documents: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("find the documents: none in %s", root)
	}
	return append([]string{filepath.Join(root, "README.md")}, files...), nil
}

// Read reads the blocks of a document. The error names everything that is wrong with its marks.
func Read(path string) ([]Block, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a document: %w", err)
	}
	return Parse(path, string(text))
}

// Parse reads the blocks of a document's text. Every block must have a mark, and every mark a
// block.
func Parse(name, text string) ([]Block, error) {
	p := reader{name: name}
	for line := range strings.Lines(text) {
		p.number++
		p.line(strings.TrimRight(line, "\n"))
	}
	if p.block != nil {
		p.fail("the block of line %d has no end", p.block.Line)
	}
	return p.blocks, errors.Join(p.errs...)
}

// reader reads a document line by line.
type reader struct {
	name   string
	number int
	blocks []Block
	errs   []error

	// block is the one that has begun, with the indentation and the fence that it began with.
	block         *Block
	indent, fence string
	// mark is the one that waits for its block.
	mark *Mark
	// list is set within a list, where an indented line is no code; blank after an empty line.
	list, blank bool
}

func (p *reader) fail(format string, arguments ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %w", p.name, p.number,
		fmt.Errorf(format, arguments...)))
}

func (p *reader) line(line string) {
	fence := regexp.MustCompile("^( *)(````*)(.*)$").FindStringSubmatch(line)
	switch {
	case p.block != nil && fence != nil && fence[2] == p.fence && fence[3] == "":
		p.end()
	case p.block != nil:
		p.block.Text += strings.TrimPrefix(line, p.indent) + "\n"
	case fence != nil:
		p.begin(fence[1], fence[2], fence[3])
	default:
		p.prose(line)
	}
}

// begin begins a block, whose mark must have come before it.
func (p *reader) begin(indent, fence, language string) {
	p.block = &Block{File: p.name, Line: p.number, Language: language}
	p.indent, p.fence, p.blank = indent, fence, false
	if p.mark == nil {
		p.fail(`the block has no mark: expected a comment before it, for example <!-- run: lab --> or <!-- not run: REASON -->`)
		return
	}

	p.block.Mark, p.mark = *p.mark, nil
	if p.block.Mark.Kind == Run && !p.block.IsShell() {
		p.fail("the block is to be run: expected the language sh, bash or console")
	}

	if p.block.Mark.Kind == Output && !slices.ContainsFunc(p.blocks, func(b Block) bool {
		return b.Mark.Kind == Run
	}) {
		p.fail("the block of output follows no block that is run")
	}
}

// end ends a block.
func (p *reader) end() {
	if p.block.Mark.Kind == Output && p.block.Mark.Text == someLines {
		p.block.Text = "…\n" + strings.ReplaceAll(p.block.Text, "\n", "\n…\n")
	}
	p.blocks, p.block = append(p.blocks, *p.block), nil
}

// prose reads a line outside of blocks: a mark, or text.
func (p *reader) prose(line string) {
	comment := regexp.MustCompile(`^ *<!--(.*)-->$`).FindStringSubmatch(line)
	switch {
	case comment != nil:
		mark, err := ParseMark(comment[1])
		if err != nil {
			p.fail("read the mark: %w", err)
			mark = &Mark{Kind: NotRun}
		}
		p.mark = mark
	case line == "":
		p.blank = true
		return
	case p.mark != nil:
		p.fail("the mark before this line belongs to no block")
		p.mark = nil
	case strings.HasPrefix(line, "    ") && p.blank && !p.list:
		p.fail("an indented block: expected fences, and a mark")
	case !strings.HasPrefix(line, " "):
		p.list = regexp.MustCompile(`^([-*]|[0-9]+\.) `).MatchString(line)
	}

	p.blank = false
}
