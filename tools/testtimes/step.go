// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// span is an interval of time.
type span struct{ began, ended time.Time }

// length is how much time at least one of the spans covers.
func length(spans []span) time.Duration {
	ordered := slices.SortedFunc(slices.Values(spans), func(a, b span) int {
		return a.began.Compare(b.began)
	})

	var all time.Duration
	var until time.Time
	for _, s := range ordered {
		if s.began.Before(until) {
			s.began = until
		}
		if s.ended.After(s.began) {
			all += s.ended.Sub(s.began)
			until = s.ended
		}
	}

	return all
}

// step is a part of "make test": a build, or a call of go test.
type step struct {
	span
	name     string
	packages []pkg
}

func (s step) wall() time.Duration { return s.ended.Sub(s.began) }

// tests is how long at least one package's tests were running; before and between, compilers and
// linkers were.
func (s step) tests() time.Duration {
	var running []span
	for _, p := range s.packages {
		running = append(running, p.span)
	}
	return length(running)
}

// pkg is one package's tests.
type pkg struct {
	span
	path           string
	count, skipped int
	tests          []test
}

func (p pkg) took() time.Duration { return p.ended.Sub(p.began) }

// test is a test or a part of one.
type test struct {
	name string
	took time.Duration
}

// longest are the tests that took at least so long, and of tests with parts the parts, too.
func (p pkg) longest(least time.Duration) []test {
	var found []test
	for _, t := range p.tests {
		if t.took >= least {
			found = append(found, test{short(p.path) + "." + t.name, t.took})
		}
	}
	return found
}

// event is what one line of go test -json says (go doc test2json).
type event struct {
	Time    time.Time
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
}

// readStep reads the file with the instants of a step, and the events beside it if there are some.
func readStep(file string) (step, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return step{}, fmt.Errorf("read the times of a step: %w", err)
	}
	var began, ended float64
	if _, err := fmt.Sscan(string(content), &began, &ended); err != nil {
		return step{},
			fmt.Errorf("read %s: %w: expected the instants of a step's beginning and end", file,
				err)
	}
	one := step{name: strings.TrimSuffix(filepath.Base(file), ".step"),
		span: span{instant(began), instant(ended)}}

	events, err := os.Open(strings.TrimSuffix(file, ".step") + ".json")
	switch {
	case errors.Is(err, os.ErrNotExist):
		return one, nil
	case err != nil:
		return step{}, fmt.Errorf("read the events of a step: %w", err)
	}
	defer events.Close()
	if one.packages, err = readEvents(events); err != nil {
		return step{}, fmt.Errorf("read %s: %w", events.Name(), err)
	}
	return one, nil
}

func instant(seconds float64) time.Time { return time.UnixMicro(int64(seconds * 1e6)) }

// readEvents reads the events of one call of go test. Lines that are none come from what go test
// runs.
func readEvents(from io.Reader) ([]pkg, error) {
	var order []string
	found := make(map[string]*pkg)
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil && e.Package != "" {
			p := found[e.Package]
			if p == nil {
				p = &pkg{path: e.Package, span: span{e.Time, e.Time}}
				found[e.Package] = p
				order = append(order, e.Package)
			}
			p.add(e)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}

	var all []pkg
	for _, path := range order {
		all = append(all, *found[path])
	}
	return all, nil
}

// add counts an event of the package.
func (p *pkg) add(e event) {
	over := e.Action == "pass" || e.Action == "fail" || e.Action == "skip"
	switch {
	case e.Action == "start":
		p.began = e.Time
	case e.Test != "" && over:
		p.count++
		if e.Action == "skip" {
			p.skipped++
		}
		p.tests = append(p.tests, test{e.Test, time.Duration(e.Elapsed * float64(time.Second))})
	}

	if e.Time.After(p.ended) {
		p.ended = e.Time
	}
}
