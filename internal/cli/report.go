// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/report/html"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// reportOptions are the flags of the command.
type reportOptions struct {
	settings   setting.Table
	format     string
	output     string
	thresholds []string
	open       bool
}

// reportFormats are the formats that the command offers, the default first.
func reportFormats() []report.Format[[]report.Report] {
	return append(report.Formats(), report.Format[[]report.Report]{
		Name: htmlFormat, Summary: "one page with charts, for a browser", Write: html.Write,
	})
}

func newReport(settings setting.Table) *cobra.Command {
	o := reportOptions{settings: settings}
	formats := reportFormats()
	cmd := &cobra.Command{
		Use:   "report DIRECTORY…",
		Short: "Report on runs: for a terminal, a pull request, a CI system or a program",
		Long: "Read the directories that \"netpol-latency run\" has written, and report on " +
			"them. Formats:\n\n" +
			describeFormats(formats) + "\nWith --threshold it exits with 4 if one of these " +
			"thresholds fails. Those of the runs\n" +
			"themselves are shown, and were evaluated when they were run.",
		Example: "  netpol-latency report results\n" +
			"  netpol-latency report --open results\n" +
			"  netpol-latency report --format junit -o junit.xml results \\\n" +
			"    --threshold 'policy-deny.p99<500ms'\n" +
			"  netpol-latency report --format perfdata -o artifacts results-*",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("expected the directory of a run, or several, for example: " +
					"netpol-latency report results")
			}
			return nil
		},
		ValidArgsFunction: directories,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args)
		},
	}

	f := cmd.Flags()
	f.StringVar(&o.format, "format", formats[0].Name, "one of the formats above")
	f.StringVarP(&o.output, "output", "o", "",
		"file to write, or for perfdata a directory for its files\n(default standard output)")
	f.StringArrayVar(&o.thresholds, "threshold", nil,
		"further limit of a result, for example\n'policy-deny.p99<500ms' (repeatable)")
	f.BoolVar(&o.open, "open", false, "show the report in a browser: implies --format html, and "+
		"without -o\na file report.html in the first directory")
	offerFormats(cmd, formats)
	offerFiles(cmd, "output")
	offerFunc(cmd, "threshold", func(cmd *cobra.Command, _ []string,
		typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return thresholdBeginnings(cmd, nil, typed) // the arguments are directories
	})

	return cmd
}

func (o *reportOptions) run(cmd *cobra.Command, paths []string) error {
	if err := o.imply(cmd.Flags().Changed("format"), paths); err != nil {
		return err
	}

	format, err := findFormat(reportFormats(), o.format)
	if err != nil {
		return err
	}

	var sources []report.Source
	var mistakes []error
	for _, directory := range paths {
		source, err := report.Open(directory, o.settings)
		sources, mistakes = append(sources, source), append(mistakes, err)
	}

	if err := errors.Join(mistakes...); err != nil {
		return err
	}

	further, err := limit(sources, o.thresholds)
	if err != nil {
		return err
	}
	reports := report.Build(sources...)
	if err := write(cmd.OutOrStdout(), o.output, format, reports); err != nil {
		return err
	}

	if o.open {
		if err := openInBrowser(cmd.Context(), o.output); err != nil {
			return err
		}
	}

	if failed := failures(reports, further); failed > 0 {
		return fmt.Errorf("%w: %d failed", errThreshold, failed)
	}
	return o.incomplete(sources)
}

// incomplete is why further thresholds have not passed although none failed: a run did not come to
// its end.
func (o *reportOptions) incomplete(sources []report.Source) error {
	var cut []error
	for _, source := range sources {
		if text := source.Run.Cut(); text != "" && len(o.thresholds) > 0 {
			cut = append(cut, fmt.Errorf("no threshold failed, but %s: %s", source.Directory, text))
		}
	}
	return errors.Join(cut...)
}

// imply fills in what --open leaves unsaid.
func (o *reportOptions) imply(formatGiven bool, paths []string) error {
	if !o.open {
		return nil
	}
	if formatGiven && o.format != htmlFormat {
		return fmt.Errorf("--open shows %s, and --format is %s: expected one of them", htmlFormat,
			o.format)
	}
	o.format, o.output = htmlFormat, cmp.Or(o.output, filepath.Join(paths[0], "report.html"))
	return nil
}

// limit adds thresholds to the runs that have results of which they are, unless they have them.
func limit(sources []report.Source, texts []string) ([]measure.Threshold, error) {
	var further []measure.Threshold
	var mistakes []error
	for _, text := range texts {
		threshold, err := measure.ParseThreshold(text)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		further = append(further, threshold)
		about := 0
		for i, source := range sources {
			if !slices.ContainsFunc(source.Summaries(), threshold.About) {
				continue
			}
			about++
			if !slices.Contains(source.Thresholds, threshold) {
				sources[i].Thresholds = append(source.Thresholds, threshold)
			}
		}
		if about == 0 {
			mistakes = append(mistakes, fmt.Errorf("threshold %q is about no result of these runs",
				text))
		}
	}

	return further, errors.Join(mistakes...)
}

// failures counts how often the further thresholds failed, as the reports say.
func failures(reports []report.Report, further []measure.Threshold) int {
	failed := 0
	for _, one := range reports {
		for _, evaluation := range measure.Failed(one.Assessment.Thresholds) {
			if slices.Contains(further, evaluation.Threshold) {
				failed++
			}
		}
	}
	return failed
}
