// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// cleanupOptions are the flags of the command.
type cleanupOptions struct {
	access accessFlags
	runID  string
	all    bool
	named  []string
	// namespace and targetNamespace are those that the run was given.
	namespace, targetNamespace string
}

func newCleanup() *cobra.Command {
	var o cleanupOptions
	cmd := &cobra.Command{
		Use:   "cleanup --run-id ID",
		Short: "Remove what a run has left",
		Long: "Remove the namespaces of a run that was killed or kept, and wait until they are " +
			"gone. Nothing that a\n" +
			"run has not created itself is touched: of what bears the labels or the name of " +
			"something of\nthe run and is not, it says why it was left alone. Of a run in " +
			"namespaces that exist (run\n--namespace) it removes the objects, and the namespaces " +
			"stay.",
		Example: "  netpol-latency cleanup --run-id 1f2e3d4c\n  netpol-latency cleanup --all",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}

	f := cmd.Flags()
	f.StringVar(&o.runID, "run-id", "", "the run, as it was printed at its beginning")
	f.BoolVar(&o.all, "all", false, "every run: also those that are under way")
	f.StringSliceVar(&o.named, "named", nil,
		"also a namespace of the run that was given its name by\n--from-namespace or "+
			"--to-namespace (repeatable)")
	f.StringVarP(&o.namespace, "namespace", "n", "",
		"the run's --namespace, for who may not look for it: the\nothers are left alone")
	f.StringVar(&o.targetNamespace, "target-namespace", "", "the run's --target-namespace")
	o.access.add(cmd)
	for _, name := range []string{"named", "namespace", "target-namespace"} {
		offerFunc(cmd, name, namespaces(&o.access.Access))
	}
	offerFunc(cmd, "run-id", runIDs(&o.access.Access))
	return cmd
}

// run removes what runs have left, and says what it has left alone.
func (o *cleanupOptions) run(cmd *cobra.Command) error {
	err := refuseEmpty(cmd.Flags(), "run-id", "namespace", "target-namespace")
	if err != nil {
		return err
	}
	if (o.runID == "") != o.all {
		return errors.New("expected either --run-id ID or --all")
	}
	if err := runner.ValidateRunID(o.runID); err != nil && !o.all {
		return err
	}
	cluster, err := o.access.cluster()
	if err != nil {
		return err
	}
	cluster.OnOutage(func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), visible.Line(text)) })

	if o.namespace != "" || o.targetNamespace != "" {
		return o.clear(cmd, cluster, o.guestNamespaces())
	}
	found, err := runner.Leftovers(cmd.Context(), cluster, o.runID)
	if apierrors.IsForbidden(err) {
		return o.clearHome(cmd, cluster, err)
	}
	if err != nil {
		return err
	}
	progress := newProgress(cmd.ErrOrStderr())
	removed, left, err := runner.Cleanup(cmd.Context(), cluster, found, o.named, progress.show)
	progress.end()
	for _, text := range left {
		fmt.Fprintln(cmd.ErrOrStderr(), visible.Line(text))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d namespaces removed\n", removed)

	if guests := runner.GuestNamespaces(cmd.Context(), cluster, o.runID); len(guests) > 0 {
		err = errors.Join(err, o.clear(cmd, cluster, guests))
	}
	return err
}

// clearHome removes what runs have left in the namespace of the kubeconfig's context, for who may
// not look for others: of such a user every run has been in namespaces that exist.
func (o *cleanupOptions) clearHome(
	cmd *cobra.Command, cluster *kube.Cluster, refused error,
) error {
	home := cluster.UserNamespace
	removed, err := runner.Clear(cmd.Context(), cluster, o.runID, []string{home})
	if apierrors.IsForbidden(err) || err == nil && removed == 0 {
		return fmt.Errorf("nothing of such a run is in namespace %s, and this user may not look "+
			"for others: expected --namespace, and --target-namespace, with the names that the "+
			"run was given: %w", home, refused)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d objects removed from %s, which stays; if the run "+
		"had a --target-namespace, name that too: this user may not look for it\n", removed, home)
	return err
}

// guestNamespaces are the namespaces that are named, each once.
func (o *cleanupOptions) guestNamespaces() []string {
	var names []string
	for _, name := range []string{o.namespace, o.targetNamespace} {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// clear removes what runs have left in namespaces that stay.
func (o *cleanupOptions) clear(
	cmd *cobra.Command, cluster *kube.Cluster, namespaces []string,
) error {
	removed, err := runner.Clear(cmd.Context(), cluster, o.runID, namespaces)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d objects removed from %s, which stay\n", removed,
		strings.Join(namespaces, ", "))
	return err
}
