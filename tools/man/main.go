// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command man writes a manual page for every command of netpol-latency.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "man: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("man", flag.ContinueOnError)
	flags.SetOutput(stderr)
	release := flags.String("version", "", "the `release` that the pages name, for example v1.2.3")
	flags.Usage = func() {
		fmt.Fprint(stderr, "Write a manual page for every command of netpol-latency.\n\n"+
			"Usage:\n  man [-version v1.2.3] DIRECTORY\n\nExample:\n  go run ./man "+
			"../bin/man\n\nFlags:\n")
		flags.PrintDefaults()
	}

	if err := flags.Parse(args); err != nil {
		return err
	}

	if flags.NArg() != 1 {
		return fmt.Errorf("got %d arguments: expected one, the directory for the pages",
			flags.NArg())
	}

	return write(*release, flags.Arg(0))
}
