// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Testtimes prints where the time of "make test" went: each step with what its tests and what its
// compilers took, each package, and each test that took long. It reads what the steps have left in
// a directory: NAME.json, the events of go test -json (see go doc test2json), and NAME.step, the
// instants at which the step began and ended, in seconds since 1970.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	least := flag.Duration("least", 10*time.Second, "shortest test that is shown")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: testtimes [-least 10s] DIRECTORY\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(1)
	}

	if err := run(os.Stdout, flag.Arg(0), *least); err != nil {
		fmt.Fprintf(os.Stderr, "testtimes: %v\n", err)
		os.Exit(1)
	}
}

// run prints the tables of a directory.
func run(out io.Writer, directory string, least time.Duration) error {
	steps, err := readSteps(directory)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		return fmt.Errorf("read %s: no step has left its times there: expected NAME.step, which "+
			"\"make test\" writes", directory)
	}

	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "step\twall\ttests\tcompilers and the rest\t\n")
	for _, s := range steps {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t\n", s.name, seconds(s.wall()), seconds(s.tests()),
			seconds(s.wall()-s.tests()))
	}
	fmt.Fprintf(table, "all, some side by side\t%s\t\t\t\n", seconds(length(spans(steps))))

	fmt.Fprintf(table, "\t\t\t\t\npackage\twall\ttests\tskipped\t\n")
	var all []pkg
	for _, s := range steps {
		all = append(all, s.packages...)
	}
	slices.SortStableFunc(all, func(a, b pkg) int { return cmp.Compare(b.took(), a.took()) })
	for _, p := range all {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t\n", short(p.path), seconds(p.took()), p.count,
			p.skipped)
	}

	fmt.Fprintf(table, "\t\t\t\t\ntest of %s or more\twall\t\t\t\n", least)
	var tests []test
	for _, p := range all {
		tests = append(tests, p.longest(least)...)
	}
	slices.SortStableFunc(tests, func(a, b test) int { return cmp.Compare(b.took, a.took) })
	for _, one := range tests {
		fmt.Fprintf(table, "%s\t%s\t\t\t\n", one.name, seconds(one.took))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the times: %w", err)
	}
	return nil
}

// readSteps reads all steps of a directory, in the order in which they began.
func readSteps(directory string) ([]step, error) {
	files, err := filepath.Glob(filepath.Join(directory, "*.step"))
	if err != nil {
		return nil, fmt.Errorf("find the steps: %w", err)
	}

	var steps []step
	for _, file := range files {
		one, err := readStep(file)
		if err != nil {
			return nil, err
		}
		steps = append(steps, one)
	}
	slices.SortFunc(steps, func(a, b step) int { return a.began.Compare(b.began) })
	return steps, nil
}

// short is a package's path without what all have in common.
func short(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, "github.com/netpol-latency/netpol-latency"),
		"/")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// spans are the steps as intervals of time.
func spans(steps []step) []span {
	var all []span
	for _, s := range steps {
		all = append(all, s.span)
	}
	return all
}
