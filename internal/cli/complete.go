// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// askTimeout is how long a shell waits for what the cluster has to offer: somebody has pressed a
// key.
const askTimeout = 2 * time.Second

// offer has the shell offer words as the values of a flag, in their order.
func offer(cmd *cobra.Command, flag string, words ...cobra.Completion) {
	offerFunc(cmd, flag, cobra.FixedCompletions(words,
		cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder))
}

func offerFunc(cmd *cobra.Command, flag string, find cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, find) // the flag exists: the test walks all flags
}

// offerFiles has the shell offer the files of some extensions, or all of them.
func offerFiles(cmd *cobra.Command, flag string, extensions ...string) {
	if len(extensions) > 0 {
		offer := cobra.FixedCompletions(extensions, cobra.ShellCompDirectiveFilterFileExt)
		offerFunc(cmd, flag, offer)
		return
	}
	offerFunc(cmd, flag, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault))
}

func offerDirectories(cmd *cobra.Command, flag string) {
	offerFunc(cmd, flag, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs))
}

// directories has the shell offer directories as arguments.
func directories(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// modes are probe modes with what they do.
func modes(known ...probe.Mode) []cobra.Completion {
	var all []cobra.Completion
	for _, mode := range known {
		all = append(all, completion(setting.Choice{Value: string(mode), Help: modeText(mode)}))
	}
	return all
}

func modeText(mode probe.Mode) string {
	for _, one := range setting.ProbeModes() {
		if one.Value == string(mode) {
			return one.Help
		}
	}
	return ""
}

// scenarioNames offers scenarios that are not named yet, with their one-line descriptions.
func scenarioNames(
	_ *cobra.Command, args []string, _ string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	var all []cobra.Completion
	for _, one := range scenario.All() {
		if !slices.Contains(args, one.Name) {
			all = append(all, cobra.CompletionWithDesc(one.Name, one.Summary))
		}
	}
	return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// testNames offers the tests that there are manifests for, those of the default scenarios, if none
// is named yet.
func testNames(
	cmd *cobra.Command, args []string, typed string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, directive := scenarioNames(cmd, args, typed)
	return slices.DeleteFunc(all, func(one cobra.Completion) bool {
		name, _, _ := strings.Cut(one, "\t")
		return len(args) > 0 || !slices.Contains(scenario.Defaults(), name)
	}), directive
}

// thresholdBeginnings offers the results of the scenarios, all if none is named, and then their
// statistics. The operator and the limit are the user's.
func thresholdBeginnings(
	_ *cobra.Command, args []string, typed string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	name, _, named := strings.Cut(typed, ".")
	var all []cobra.Completion
	if named {
		for _, statistic := range measure.ThresholdStatistics("p90", "p95", "p99") {
			all = append(all, name+"."+statistic)
		}
	} else {
		for _, one := range scenario.All() {
			if len(args) == 0 || slices.Contains(args, one.Name) {
				all = append(all, resultNames(one)...)
			}
		}
	}

	return all,
		cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace |
			cobra.ShellCompDirectiveKeepOrder
}

// resultNames are the scenario and its parts, each with the dot that comes before a statistic.
func resultNames(one scenario.Scenario) []cobra.Completion {
	names := []string{one.Name + "."}
	for _, name := range runner.ResultNames(runner.DefaultOptions(), one) {
		if !slices.Contains(names, name+".") {
			names = append(names, name+".")
		}
	}
	return names
}

// runIDs offers the runs that have left something in the cluster.
func runIDs(access *kube.Access) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion,
		cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
		defer cancel()
		cluster, err := kube.ConnectCluster(*access, Name)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		found, err := runner.Leftovers(ctx, cluster, "")
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}

		var ids []cobra.Completion
		for _, namespace := range found {
			ids = append(ids, namespace.Labels[runner.RunLabel])
		}
		slices.Sort(ids)
		return slices.Compact(ids), cobra.ShellCompDirectiveNoFileComp
	}
}

// namespacesIn offers the namespaces of the cluster that a kubeconfig file names.
func namespacesIn(kubeconfig *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion,
		cobra.ShellCompDirective) {
		return namespaces(&kube.Access{Kubeconfig: *kubeconfig})(cmd, args, typed)
	}
}

// namespaces offers the namespaces of the cluster.
func namespaces(access *kube.Access) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion,
		cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
		defer cancel()
		client, err := kube.ConnectUser(*access, Name)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		found, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}

		var names []cobra.Completion
		for _, one := range found.Items {
			names = append(names, one.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// newPluginCompletion stands in for the scripts: kubectl completes its plugins itself.
func newPluginCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion",
		Short: "Explain how a shell completes this plugin",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write([]byte(
				"The shell completes this plugin with kubectl, if kubectl's own completion is " +
					"set up and a program\n" +
					completeFile + " is in the PATH. This makes it:\n\n" +
					"  ln -s \"$(command -v " + pluginFile + ")\" /usr/local/bin/" + completeFile +
					"\n"))
			return err
		},
	}
}
