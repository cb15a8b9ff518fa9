// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Kind is what is to be done with a block.
type Kind string

// The kinds of blocks.
const (
	Run    Kind = "run"
	NotRun Kind = "not run"
	Output Kind = "output"
	File   Kind = "file"
)

// someLines is what stands after the kind of a block of output that leaves lines out.
const someLines = "some lines"

// Mark is what the comment before a block says about it.
type Mark struct {
	Kind Kind
	// Text is what follows the kind: why a block is not run, the name of a file.
	Text string
	// Lab is set if the commands need a lab, with these flags.
	Lab      bool
	LabFlags []string
	// FromRepository is set if the commands are run in the repository and not in a temporary
	// directory.
	FromRepository bool
	// Exit is the code with which the commands must end.
	Exit int
	// Env has values for the placeholders of the commands, such as IMAGE.
	Env map[string]string
	// Smaller are the flags that each "netpol-latency run" among the commands gets after its own,
	// so that a test does not measure as much as a reader.
	Smaller []string
}

// ParseMark reads the text of a comment, for example "run: lab, --delay 300ms, env IMAGE=x". It
// returns nil if the comment is about something else.
func ParseMark(comment string) (*Mark, error) {
	kind, text, _ := strings.Cut(strings.TrimSpace(comment), ":")
	m := &Mark{Kind: Kind(kind), Text: strings.TrimSpace(text)}
	switch m.Kind {
	case Run:
		return m, m.parseOptions()
	case NotRun:
		if m.Text == "" {
			return nil, errors.New(`expected a reason after "not run:"`)
		}
	case File:
		if m.Text == "" || strings.ContainsAny(m.Text, "/ ") {
			return nil, fmt.Errorf("file %q: expected a name without a directory", m.Text)
		}
	case Output:
		if m.Text != "" && m.Text != someLines {
			return nil, fmt.Errorf("output %q: expected nothing after it, or %q", m.Text, someLines)
		}
	default:
		return nil, nil
	}

	return m, nil
}

func (m *Mark) parseOptions() error {
	where, rest, _ := strings.Cut(m.Text, ",")
	switch strings.TrimSpace(where) {
	case "lab":
		m.Lab = true
	case "no cluster":
	default:
		return fmt.Errorf(`run %q: expected "lab" or "no cluster" first`, m.Text)
	}

	m.Env = make(map[string]string)
	for option := range strings.SplitSeq(rest, ",") {
		if option = strings.TrimSpace(option); option == "" {
			continue
		}
		if err := m.parseOption(option); err != nil {
			return err
		}
	}

	return nil
}

func (m *Mark) parseOption(option string) error {
	word, value, _ := strings.Cut(option, " ")
	switch {
	case strings.HasPrefix(option, "--") && m.Lab:
		m.LabFlags = append(m.LabFlags, strings.Fields(option)...)
	case option == "from the repository":
		m.FromRepository = true
	case word == "smaller" && strings.HasPrefix(value, "--"):
		m.Smaller = append(m.Smaller, strings.Fields(value)...)
	case word == "exit":
		code, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("%s: expected a number: %w", option, err)
		}
		m.Exit = code
	case word == "env" && regexp.MustCompile(`^[A-Z_]+=`).MatchString(value):
		name, value, _ := strings.Cut(value, "=")
		m.Env[name] = value
	default:
		return fmt.Errorf("option %q: expected a flag of the lab, \"from the repository\", "+
			"\"exit N\", \"env NAME=VALUE\" or \"smaller --FLAG=VALUE\"", option)
	}

	return nil
}
