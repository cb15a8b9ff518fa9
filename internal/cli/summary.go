// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// summaryOptions are the flags of the command.
type summaryOptions struct {
	access    accessFlags
	namespace string
	selector  string
	wait      bool
	timeout   time.Duration
	samples   bool
}

func newSummary() *cobra.Command {
	var options summaryOptions
	cmd := &cobra.Command{
		Use:   "summary",
		Short: "Print what the running test clients have measured",
		Long: "Fetch the samples of the running test clients through the API server and print a " +
			"table of\n" +
			"percentiles for each test, with the resolution of the measurement. It exits with 2 " +
			"if some\n" +
			"target was not measured.",
		Example: "  netpol-latency summary --wait --timeout 5m\n" +
			"  netpol-latency summary --samples > samples.jsonl",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return options.run(cmd) },
	}

	f := cmd.Flags()
	f.StringVar(&options.namespace, "namespace", "default", "namespace of the test clients")
	f.StringVar(&options.selector, "selector", "test=np-test-client",
		"label selector of the test clients")
	f.BoolVar(&options.wait, "wait", false, "wait until every target has a result")
	f.DurationVar(&options.timeout, "timeout", 10*time.Minute, "longest wait")
	f.BoolVar(&options.samples, "samples", false,
		"print the samples as JSON Lines instead of the table")
	options.access.add(cmd)
	offerFunc(cmd, "namespace", namespaces(&options.access.Access))
	return cmd
}

func (o *summaryOptions) run(cmd *cobra.Command) error {
	if err := o.check(cmd.Flags()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout,
		fmt.Errorf("not every target had a result after %s: see the logs of the test clients",
			o.timeout))
	defer cancel()
	client, err := o.access.client()
	if err != nil {
		return err
	}

	pods, err := kube.Namespace{Client: client, Name: o.namespace}.ClientPods(ctx, o.selector)
	if err != nil {
		return err
	}

	if len(pods) == 0 {
		return fmt.Errorf("no test client is running in namespace %q with labels %q: start one "+
			"with \"netpol-latency manifests\"", o.namespace, o.selector)
	}

	samples, err := o.collect(ctx, client, pods)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return err
	}

	write := printSummaries
	if o.samples {
		write = result.Write
	}

	return errors.Join(write(cmd.OutOrStdout(), samples), o.allMeasured(samples))
}

// check reports everything that is wrong with the flags.
func (o *summaryOptions) check(flags *pflag.FlagSet) error {
	mistakes := []error{refuseEmpty(flags, "namespace", "selector")}
	if o.timeout <= 0 {
		mistakes = append(mistakes, fmt.Errorf("--timeout %s: expected a duration of more than 0",
			o.timeout))
	}
	if _, err := labels.Parse(o.selector); err != nil {
		mistakes = append(mistakes, fmt.Errorf("--selector %q: expected labels, for example "+
			"test=np-test-client: %w", o.selector, err))
	}
	return errors.Join(mistakes...)
}

// errNotMeasured ends the error of a summary of targets some of which have no latency.
var errNotMeasured = errors.New("the table's warnings and --samples say why")

// allMeasured returns an error unless every target that has a result was measured, and there is one
// if all were waited for.
func (o *summaryOptions) allMeasured(samples []measure.Sample) error {
	measured := 0
	for _, sample := range samples {
		if sample.Status == measure.Measured {
			measured++
		}
	}
	if measured < len(samples) || o.wait && len(samples) == 0 {
		return fmt.Errorf("only %d of %d targets were measured: %w", measured, len(samples),
			errNotMeasured)
	}
	return nil
}

// collect fetches the samples of every client.
func (o *summaryOptions) collect(
	ctx context.Context, client kubernetes.Interface, pods []corev1.Pod,
) ([]measure.Sample, error) {
	var all []measure.Sample
	for _, pod := range pods {
		stream, err := kube.OpenSamples(ctx, client, pod, o.wait)
		if err != nil {
			return nil, err
		}
		samples, err := result.Read(stream)
		_ = stream.Close() // everything has been read
		if err != nil {
			return nil, fmt.Errorf("fetch the samples of pod %s/%s: %w", pod.Namespace, pod.Name,
				err)
		}
		all = append(all, samples...)
	}

	return all, nil
}

// printSummaries prints one table with all scenarios.
func printSummaries(w io.Writer, samples []measure.Sample) error {
	if len(samples) == 0 {
		_, err := fmt.Fprintln(w, "No target has a result yet: --wait waits for them.")
		return err
	}
	return report.Tables(w, measure.SummarizeAll(samples))
}
