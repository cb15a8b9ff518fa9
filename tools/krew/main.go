// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command krew fills in the plugin's manifest for a release.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// options are the flags.
type options struct {
	template  string
	checksums string
	version   string
	downloads string
	output    string
}

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "krew: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("krew", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.template, "template", "", "the manifest as a template")
	flags.StringVar(&o.checksums, "checksums", "",
		"the release's checksums, with its archives beside them")
	flags.StringVar(&o.version, "version", "", "the release, for example v1.2.3")
	flags.StringVar(&o.downloads, "downloads", "",
		"the URL of the directory that the archives are downloaded from")
	flags.StringVar(&o.output, "output", "", "the file to write")
	flags.Usage = func() {
		fmt.Fprint(stderr, "Fill in the plugin's manifest for a release, and check it and the "+
			"archives.\n\n"+
			"Example:\n  go run ./krew -template ../deploy/krew/netpol-latency.yaml -version "+
			"v1.2.3 \\\n"+
			"    -checksums ../bin/release/checksums.txt "+
			"-downloads https://example.com/v1.2.3 \\\n"+
			"    -output netpol-latency.yaml\n\nFlags, all mandatory:\n")
		flags.PrintDefaults()
	}

	if err := flags.Parse(args); err != nil {
		return err
	}

	var missing []error
	flags.VisitAll(func(f *flag.Flag) {
		if f.Value.String() == "" {
			missing = append(missing, fmt.Errorf("-%s is missing: expected %s", f.Name, f.Usage))
		}
	})

	if err := errors.Join(missing...); err != nil {
		return err
	}

	return write(o)
}

// write makes the manifest of what the release holds. The file is written only if everything is
// right.
func write(o options) error {
	archives, err := readArchives(o.checksums, o.version)
	if err != nil {
		return err
	}

	content, err := fill(o.template, o.version, o.downloads, archives)
	if err != nil {
		return err
	}
	if err := validate(content); err != nil {
		return fmt.Errorf("check the manifest: %w", err)
	}
	if err := os.WriteFile(o.output, content, 0o644); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}

	return nil
}
