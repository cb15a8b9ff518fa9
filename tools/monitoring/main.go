// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command monitoring writes what deploy/ has for Grafana and for the Prometheus operator.
//
// The dashboard is Go because it is four kinds of panel, many times over: the compiler holds it
// against Grafana's schema, and a change of a query is one line to review instead of a page of
// JSON. The rules are written by hand, as Prometheus reads them; the operator's object is made from
// them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "monitoring: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("monitoring", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Write DIR/grafana/netpol-latency.json, and "+
			"DIR/prometheus/prometheus-rule.yaml from the "+
			"rules beside it.\n\nExample:\n  go run ./monitoring ../deploy\n")
	}

	if err := flags.Parse(args); err != nil {
		return err
	}

	if flags.NArg() != 1 {
		return fmt.Errorf("%d arguments: expected one, the directory deploy of the project, as in "+
			"\"go run ./monitoring ../deploy\"", flags.NArg())
	}

	files, err := render(flags.Arg(0))
	if err != nil {
		return err
	}

	for name, content := range files {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return fmt.Errorf("write what was made: %w", err)
		}
	}

	return nil
}

// render makes the content of every file in a directory that is not written by hand.
func render(dir string) (map[string][]byte, error) {
	board, err := renderDashboard()
	if err != nil {
		return nil, err
	}
	object, err := renderRule(filepath.Join(dir, "prometheus", "rules.yaml"))
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		filepath.Join(dir, "grafana", "netpol-latency.json"):     board,
		filepath.Join(dir, "prometheus", "prometheus-rule.yaml"): object,
	}, nil
}
