// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/report/html"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// compareOptions are the flags of the command.
type compareOptions struct {
	settings setting.Table
	format   string
	output   string
	failIf   []string
	force    bool
}

// comparisonFormats are the formats that the command offers, the default first.
func comparisonFormats() []report.Format[report.Comparison] {
	return append(report.ComparisonFormats(), report.Format[report.Comparison]{
		Name: htmlFormat, Summary: "a page with the distributions drawn",
		Write: html.WriteComparison,
	})
}

// sideBySideFormats are the same formats for more than two results.
func sideBySideFormats() []report.Format[report.SideBySide] {
	return append(report.SideBySideFormats(), report.Format[report.SideBySide]{
		Name: htmlFormat, Summary: "a page with the distributions drawn",
		Write: html.WriteSideBySide,
	})
}

func newCompare(settings setting.Table) *cobra.Command {
	o := compareOptions{settings: settings}
	formats := comparisonFormats()
	cmd := &cobra.Command{
		Use:   "compare OLD NEW [MORE...]",
		Short: "Tell whether policy changes have become slower",
		Long: "Compare two runs: each the directory of a run with at least five iterations " +
			"(--repeat), or a\n" +
			"directory that holds those of several runs. Formats:\n\n" +
			describeFormats(formats) + "\n" +
			"With --fail-if it exits with 4 if a statistic has grown by more than the limit and " +
			"chance is no\n" +
			"explanation (5 % significance over all limits together), and with 1 if that cannot " +
			"be decided,\n" +
			"for want of iterations.\n\n" +
			"More than two are put side by side, as those of several engines: each is compared " +
			"with each\n" +
			"other, and what is called a difference is none by chance in 95 of 100 such tables.",
		Example: "  netpol-latency run policy-deny --repeat 10 -o old\n" +
			"  netpol-latency run policy-deny --repeat 10 -o new\n" +
			"  netpol-latency compare old new --fail-if 'p99 > +20%' \\\n" +
			"    --fail-if 'policy-deny.median > +50ms'\n" +
			"  netpol-latency compare calico cilium kube-router --format html -o engines.html",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("%d directories: expected two or more, for example: "+
					"netpol-latency compare old new", len(args))
			}
			if len(args) > 2 && len(o.failIf) > 0 {
				return fmt.Errorf("--fail-if says how much slower the new one may be than the "+
					"old: expected two directories, not %d", len(args))
			}
			return nil
		},
		ValidArgsFunction: directories,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 {
				return o.runAll(cmd, args)
			}
			return o.run(cmd, args[0], args[1])
		},
	}

	f := cmd.Flags()
	f.StringVar(&o.format, "format", formats[0].Name, "one of the formats above")
	f.StringVarP(&o.output, "output", "o", "", "file to write (default standard output)")
	f.StringArrayVar(&o.failIf, "fail-if", nil,
		"[SCENARIO.]STATISTIC > +CHANGE that fails it, the statistic min,\nmean, median, "+
			"pNN or max, the change in percent or a duration\n(repeatable)")
	f.BoolVar(&o.force, "force", false, "compare runs that are not comparable")
	offerFormats(cmd, formats)
	offerFiles(cmd, "output")
	return cmd
}

// errCut is the end of a check that nothing failed, of a run that did not come to its end: what it
// would have shown is not known.
var errCut = errors.New("no limit is exceeded, but not everything was run")

// errSlower is the end of a comparison that worked, and found what must not be.
var errSlower = errors.New("slower than allowed")

func (o *compareOptions) run(cmd *cobra.Command, oldPath, newPath string) error {
	format, err := findFormat(comparisonFormats(), o.format)
	mistakes := []error{err}

	var limits []measure.Limit
	for _, text := range o.failIf {
		limit, err := measure.ParseLimit(text)
		limits, mistakes = append(limits, limit), append(mistakes, err)
	}

	earlier, err := report.OpenSide(oldPath, o.settings)
	mistakes = append(mistakes, err)
	later, err := report.OpenSide(newPath, o.settings)
	if err := errors.Join(append(mistakes, err)...); err != nil {
		return err
	}

	comparison, err := report.Compare(earlier, later, limits, o.force)
	if err != nil {
		return err
	}

	if err := write(cmd.OutOrStdout(), o.output, format, comparison); err != nil {
		return err
	}

	err = evaluateChecks(comparison.Checks)
	if cut := comparison.Cut(); err == nil && len(cut) > 0 && len(limits) > 0 {
		return fmt.Errorf("%w: %s", errCut, strings.Join(cut, "; "))
	}
	return err
}

// runAll puts more than two results side by side.
func (o *compareOptions) runAll(cmd *cobra.Command, paths []string) error {
	format, err := findFormat(sideBySideFormats(), o.format)
	mistakes := []error{err}
	var sides []report.Side
	for _, path := range paths {
		side, err := report.OpenSide(path, o.settings)
		sides, mistakes = append(sides, side), append(mistakes, err)
	}
	if err := errors.Join(mistakes...); err != nil {
		return err
	}

	comparison, err := report.CompareAll(sides, o.force)
	if err != nil {
		return err
	}
	return write(cmd.OutOrStdout(), o.output, format, comparison)
}

// evaluateChecks says how the command ends. A limit that is exceeded counts before one that cannot
// be decided.
func evaluateChecks(checks []report.Check) error {
	exceeded := 0
	var undecided []error
	for _, check := range checks {
		switch {
		case check.Exceeded:
			exceeded++
		case check.Err != nil:
			undecided = append(undecided, errors.New(check.Text()))
		}
	}

	if exceeded > 0 {
		return fmt.Errorf("%w: %d of %d limits exceeded", errSlower, exceeded, len(checks))
	}

	return errors.Join(undecided...)
}
