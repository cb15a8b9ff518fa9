// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
	Error   *junitFailure `xml:"error"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes a test suite for each run: a test case for each result and threshold that is about
// it, and for a result without a threshold one that fails with what was found against it. A case
// with pairs that were not observed is an error: it was not carried out as a whole. A run that did
// not come to its end has one more, which says so.
func JUnit(w io.Writer, reports []Report) error {
	all := junitSuites{Name: "netpol-latency"}
	for _, report := range reports {
		suite := junitOf(report)
		all.Tests, all.Failures = all.Tests+suite.Tests, all.Failures+suite.Failures
		all.Errors += suite.Errors
		all.Suites = append(all.Suites, suite)
	}

	content, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}

	if _, err := fmt.Fprintf(w, "%s%s\n", xml.Header, content); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}

	return nil
}

func junitOf(report Report) junitSuite {
	run := report.Run
	suite := junitSuite{
		Name: "run " + run.ID, Time: seconds(run.Ended.Sub(run.Began)),
		Timestamp: run.Began.UTC().Format("2006-01-02T15:04:05"),
	}

	for _, fact := range environment(run) {
		suite.Properties = append(suite.Properties, junitProperty{fact[0], fact[1]})
	}

	if cut, ok := measure.FindTopic(report.Assessment.Findings, measure.TopicIncomplete); ok {
		suite.Cases = append(suite.Cases, junitCase{
			Class: suite.Name, Name: "complete", Time: seconds(0),
			Error: failureOf(cut, cut.String()),
		})
	}
	for _, one := range report.Results {
		if !anyAbout(report.Thresholds, one.Summary) {
			suite.Cases = append(suite.Cases, junitDefault(one))
		}
	}

	for _, one := range report.Assessment.Thresholds {
		suite.Cases = append(suite.Cases, junitThreshold(one, report))
	}

	for _, one := range suite.Cases {
		suite.Tests++
		switch {
		case one.Error != nil:
			suite.Errors++
		case one.Failure != nil:
			suite.Failures++
		}
	}

	return suite
}

func anyAbout(thresholds []measure.Threshold, summary measure.Summary) bool {
	for _, one := range thresholds {
		if one.About(summary) {
			return true
		}
	}
	return false
}

func junitThreshold(one measure.Evaluation, report Report) junitCase {
	about := Result{Result: measure.Result{Summary: one.Summary}} // of what was not run
	for _, result := range report.Results {
		if keyOf(result.Summary) == keyOf(one.Summary) {
			about = result
		}
	}

	found := junitCaseOf(about, one.Threshold.String())
	lost, unobserved := measure.FindTopic(about.Findings, measure.TopicUnobserved)
	switch {
	case !one.Passed:
		found.Failure = &junitFailure{string(measure.TopicThreshold), one.Text, found.Output}
	case unobserved:
		found.Error = failureOf(lost, found.Output)
	}

	return found
}

// junitDefault is what is expected of any result: that nothing was found against it.
func junitDefault(one Result) junitCase {
	found := junitCaseOf(one, "all measured, no leaks")
	switch worst, failed := one.Failure(); {
	case !failed:
	case worst.Topic == measure.TopicUnobserved:
		found.Error = failureOf(worst, found.Output)
	default:
		found.Failure = failureOf(worst, found.Output)
	}

	return found
}

// failureOf is a finding as what a case fails with.
func failureOf(finding measure.Finding, output string) *junitFailure {
	return &junitFailure{string(finding.Topic), finding.String(), output}
}

func junitCaseOf(one Result, name string) junitCase {
	summary := one.Summary
	output := summary.Account.String()
	if summary.Kind.Stays() {
		output += "; " + StaysText(summary)
	} else {
		p50, p99 := FindCell(one.Cells, "p50"), FindCell(one.Cells, "p99")
		output += fmt.Sprintf("; p50 %s, p99 %s", p50.Value, p99.Value)
	}

	for _, finding := range one.Findings {
		if finding.Severity != measure.SeverityOK {
			output += fmt.Sprintf("\nfinding (%s): %s", finding.Severity, finding)
		}
	}

	for _, warning := range summary.Warnings {
		output += "\nwarning: " + warning
	}

	return junitCase{
		Class: one.Name(), Name: name,
		Time: seconds(max(0, summary.Quantile(1).Value)), Output: output,
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
