// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// Who may not create namespaces gives a run some that exist. There it is a guest: whatever it
// creates has a name that begins with its ID, carries a label that says of which scenario of which
// run it is, and asks for that label where it selects pods, so that neither the pods of others nor
// another run are concerned. At its end the objects with this label are removed.

// scopeLabel is on everything that a scenario creates as a guest.
const scopeLabel = "netpol-latency/scope"

// guest reports whether the namespaces are not the run's own.
func (o Options) guest() bool { return o.AgentNamespace != "" }

func (e *environment) guest() bool { return e.options.guest() }

// validateGuest reports what cannot be done in namespaces that exist.
func (o Options) validateGuest(s scenario.Scenario) error {
	var mistakes []error
	if o.TargetNamespace != "" && !o.guest() {
		mistakes = append(mistakes, errors.New("--target-namespace is where the targets are if "+
			"the namespace of the agents exists, too: expected --namespace with it"))
	}

	for _, one := range []struct{ flag, name string }{
		{"namespace", o.AgentNamespace}, {"target-namespace", o.TargetNamespace},
	} {
		if one.name != "" && len(validation.IsDNS1123Label(one.name)) > 0 {
			mistakes = append(mistakes, fmt.Errorf("--%s %q: expected the name of a namespace",
				one.flag, one.name))
		}
	}

	if o.guest() && s.OwnNamespaces != "" {
		mistakes = append(mistakes, fmt.Errorf("scenario %s %s: expected namespaces of the run's "+
			"own, without --namespace", s.Name, s.OwnNamespaces))
	}
	if o.guest() && (o.Own.FromNamespace != "" || o.Own.ToNamespace != "") {
		mistakes = append(mistakes, errors.New("--from-namespace and --to-namespace are about "+
			"namespaces that a run creates: expected them without --namespace"))
	}
	if o.guest() && o.NamespacePatch != "" {
		mistakes = append(mistakes, errors.New("--namespace-patch is for namespaces that a run "+
			"creates: expected it without --namespace"))
	}
	return errors.Join(mistakes...)
}

// beGuest gives the scenario its places in namespaces that exist.
func (e *environment) beGuest() {
	p, scope := &e.parameters, fmt.Sprintf("%s-%d", e.options.RunID, e.options.Number)
	p.AgentNamespace, p.TargetNamespace = e.options.AgentNamespace, e.options.TargetNamespace
	if p.TargetNamespace == "" {
		p.TargetNamespace = p.AgentNamespace
	}
	p.Prefix = ownPrefix + scope + "-"
	p.Scope = map[string]string{scopeLabel: scope}
	maps.Copy(p.Labels, p.Scope)
}

// ownPrefix is what the names of objects begin with where there are those of others, of a guest
// before the run's ID.
const ownPrefix = "netpol-latency-"

// name is that of an object of the run.
func (e *environment) name(plain string) string { return e.parameters.Prefix + plain }

// scoped are labels to select by, which match no pods but those of the scenario.
func (e *environment) scoped(plain map[string]string) map[string]string {
	all := maps.Clone(plain)
	maps.Copy(all, e.parameters.Scope)
	return all
}

// selector selects the pods of a role.
func (e *environment) selector(role string) string {
	return labels.FormatLabels(e.scoped(map[string]string{scenario.RoleLabel: role}))
}

// planFlag tells an agent where its plan is, if that is not where each looks.
func (e *environment) planFlag() []string {
	if e.parameters.Prefix == "" {
		return nil
	}
	return []string{"--plan=" + e.name(protocol.PlanName)}
}

// checkMayCreate makes sure that the user may create the namespaces of a run, before anything else
// is asked for: who may not has other rights in a few alone.
func (r *Runner) checkMayCreate(ctx context.Context) error {
	create := kube.Right{Verb: "create"}
	create.Resource = "namespaces"
	if r.Options.guest() || len(r.Cluster.Lacking(ctx, []kube.Right{create})) == 0 {
		return nil
	}
	return errors.New("this user may not create namespaces: expected --namespace and " +
		"--target-namespace with the names of some that exist, or the right to create them")
}

// checkWords has a guest do without a policy of Cilium's kind where the user may write none, which
// the ClusterRole admin says nothing of: what it is for, agents may do without.
func (e *environment) checkWords(ctx context.Context) error {
	kind := scenario.CiliumPolicies()
	if !e.guest() || !e.cluster.Serves(kind) {
		return nil
	}
	var rights []kube.Right
	for _, verb := range writing() {
		rights = append(rights, kube.Right{
			Verb: verb, GroupResource: kind.GroupResource(), Namespace: e.parameters.AgentNamespace,
		})
	}
	lacking := e.cluster.Lacking(ctx, rights)
	if e.wordless = len(lacking) > 0; e.wordless {
		e.progress(Progress{Scenario: e.scenario.Name, Problem: "this user may not " +
			kube.ListRights(lacking) + ": isolated agents may not reach an API server that is " +
			"on a node"})
	}
	return nil
}

// writing are the verbs that it takes to write an object and to remove it.
func writing() []string { return []string{"create", "patch", "list", "delete"} }

// checkRights makes sure that the user may do what a guest needs, before anything is created.
func (e *environment) checkRights(ctx context.Context) error {
	if !e.guest() {
		return nil
	}
	rights, err := e.rights()
	if err != nil {
		return err
	}
	if lacking := e.cluster.Lacking(ctx, rights); len(lacking) > 0 {
		return fmt.Errorf("this user may not %s: expected these rights, which the ClusterRole "+
			"admin has, in the namespaces of --namespace and --target-namespace",
			kube.ListRights(lacking))
	}
	return nil
}

// checkNamespaces makes sure that namespaces which are to exist do. Who may not read them learns of
// it by what is created there.
func (e *environment) checkNamespaces(ctx context.Context) error {
	if !e.guest() {
		return nil
	}
	for _, name := range e.namespaceNames() {
		if _, err := findNamespace(ctx, e.cluster, name); err != nil {
			return err
		}
	}
	return nil
}

// findNamespace reads a namespace that is to exist; nil if the user may not.
func findNamespace(
	ctx context.Context, cluster *kube.Cluster, name string,
) (*corev1.Namespace, error) {
	found, err := cluster.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("use namespace %s: there is none of that name: expected one that "+
			"exists", name)
	case err != nil:
		return nil, nil
	}
	return found, nil
}

// checkServices makes sure that no service would lead its clients to the run: the pods of a user's
// own change have the labels of an application, whose services may be there.
func (e *environment) checkServices(ctx context.Context) error {
	if !e.guest() || e.options.Trigger == nil {
		return nil
	}
	pods, err := e.podLabels()
	if err != nil {
		return err
	}
	for _, namespace := range e.namespaceNames() {
		list, err := e.cluster.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list services: %w", err)
		}
		for _, service := range list.Items {
			selected := service.Spec.Selector
			leads := slices.ContainsFunc(pods[namespace], func(one labels.Set) bool {
				return labels.SelectorFromSet(selected).Matches(one)
			})
			if len(selected) > 0 && leads {
				return fmt.Errorf("service %s/%s selects %q, which pods of this run would be: "+
					"its clients would reach them: expected a namespace without such a service, "+
					"or none, for new ones", namespace, service.Name,
					labels.FormatLabels(selected))
			}
		}
	}
	return nil
}

// rights are what the run needs in namespaces that exist: to create, change and delete each kind of
// object that it writes, to pass on to the agents what they need, and to see what becomes of it.
func (e *environment) rights() ([]kube.Right, error) {
	var all []kube.Right
	known := make(map[kube.Right]bool)
	need := func(namespace string, of schema.GroupResource, sub string, verbs ...string) {
		for _, verb := range verbs {
			right := kube.Right{
				Verb: verb, GroupResource: of, Subresource: sub, Namespace: namespace,
			}
			if !known[right] {
				known[right] = true
				all = append(all, right)
			}
		}
	}

	named := *e
	named.parameters.AgentPods = []string{agentName} // as if there were one
	preview := named.preview()
	for _, objects := range [][]runtime.Object{
		preview.Before, preview.Triggers, preview.Deletions, named.createdPods(),
	} {
		for _, object := range objects {
			at, err := e.cluster.Locate(object)
			if err != nil {
				return nil, err
			}
			need(at.Namespace, at.GroupResource(), "", writing()...)
		}
	}

	pods := schema.GroupResource{Resource: "pods"}
	for _, namespace := range e.namespaceNames() {
		need(namespace, pods, "", "get", "list", "watch", "deletecollection")
		need(namespace, schema.GroupResource{
			Group: networkingv1.GroupName, Resource: "networkpolicies",
		}, "", "list")
	}
	if e.options.Trigger != nil {
		for _, namespace := range e.namespaceNames() {
			need(namespace, schema.GroupResource{Resource: "services"}, "", "list")
		}
	}
	home := e.parameters.AgentNamespace
	need(home, pods, "log", "get")
	need(home, schema.GroupResource{Resource: "configmaps"}, "", "get", "list", "watch")
	return all, nil
}

// mostForeign is how many pods of others are counted.
const mostForeign = 500

// nameForeignPods says that there are pods of others in the namespaces: they stay as they are.
func (e *environment) nameForeignPods(ctx context.Context) error {
	if !e.guest() {
		return nil
	}

	others := scopeLabel + "!=" + e.parameters.Scope[scopeLabel]
	for _, namespace := range e.namespaceNames() {
		list, err := e.cluster.CoreV1().Pods(namespace).List(ctx,
			metav1.ListOptions{LabelSelector: others, Limit: mostForeign})
		if err != nil {
			return fmt.Errorf("list pods: %w", err)
		}
		if len(list.Items) == 0 {
			continue
		}

		count := strconv.Itoa(len(list.Items))
		if list.Continue != "" {
			count += " or more"
		}
		text := fmt.Sprintf("namespace %s has %s pods that are not of this run, such as %s: they "+
			"stay as they are", namespace, count, list.Items[0].Name)
		e.collector.warn(text)
		e.progress(Progress{Scenario: e.scenario.Name, Problem: text})
	}
	return nil
}

// podLabels are the labels of the pods that are measured, by namespace: of those that probe, and of
// the targets of each group.
func (e *environment) podLabels() (map[string][]labels.Set, error) {
	agent, target, err := e.finalLabels()
	if err != nil {
		return nil, err
	}

	all := map[string][]labels.Set{e.parameters.AgentNamespace: {agent}}
	home := e.parameters.TargetNamespace
	for _, group := range []string{scenario.GroupA, scenario.GroupB, scenario.GroupC} {
		of := labels.Set{scenario.GroupLabel: group}
		all[home] = append(all[home], labels.Merge(target, of))
	}
	return all, nil
}

// selects reports whether a policy is about some of the pods.
func selects(policy networkingv1.NetworkPolicy, pods map[string][]labels.Set) bool {
	selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
	return err != nil || // the API server takes none that cannot be read
		slices.ContainsFunc(pods[policy.Namespace], func(one labels.Set) bool {
			return selector.Matches(one)
		})
}

// checkSecrets makes sure that secrets for pulling images are in the namespaces: in those of others
// nothing is created under a name that is not the run's.
func (e *environment) checkSecrets(ctx context.Context) error {
	if !e.guest() {
		return nil // they are copied
	}

	for _, secret := range e.options.Overlay.PullSecrets {
		for _, namespace := range e.namespaceNames() {
			_, err := e.cluster.CoreV1().Secrets(namespace).Get(ctx, secret.Name,
				metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return fmt.Errorf("use the image pull secret %s: namespace %s has none of that "+
					"name, and nothing is copied into a namespace that exists: expected one there",
					secret.Name, namespace)
			}
		}
	}
	return nil
}

// GuestNamespaces are the namespaces in which runs have been guests and left something, as far as
// this user may look for it: of every run if none is named.
func GuestNamespaces(ctx context.Context, cluster *kube.Cluster, runID string) []string {
	selected := metav1.ListOptions{LabelSelector: guestSelector(runID)}
	var names []string
	note := func(object metav1.Object) {
		if name := object.GetNamespace(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}

	if plans, err := cluster.CoreV1().ConfigMaps("").List(ctx, selected); err == nil {
		for i := range plans.Items {
			note(&plans.Items[i])
		}
	}

	policies, err := cluster.NetworkingV1().NetworkPolicies("").List(ctx, selected)
	if err == nil {
		for i := range policies.Items {
			note(&policies.Items[i])
		}
	}
	return names
}

// guestSelector selects what a run, or every run, has created as a guest.
func guestSelector(runID string) string {
	if runID == "" {
		return scopeLabel + "," + RunLabel
	}
	return scopeLabel + "," + RunLabel + "=" + runID
}

// Clear removes what a run, or every run, has left in namespaces that it was a guest in, and
// returns how many objects that were.
func Clear(
	ctx context.Context, cluster *kube.Cluster, runID string, namespaces []string,
) (int, error) {
	removed, mistakes := 0, []error(nil)
	for _, name := range namespaces {
		count := 0
		_, err := findNamespace(ctx, cluster, name)
		if err == nil {
			count, err = clearNamespace(ctx, cluster, name, guestSelector(runID))
		}
		removed, mistakes = removed+count, append(mistakes, err)
	}
	return removed, errors.Join(mistakes...)
}

// clearNamespace removes the objects that a selector matches from a namespace which stays, and
// returns how many there were.
func clearNamespace(
	ctx context.Context, cluster *kube.Cluster, namespace, selector string,
) (int, error) {
	removed := 0
	for pause := pollRemoval; ; pause = min(2*pause, longestPoll) {
		count, err := removePods(ctx, cluster, namespace, selector, func(int) {})
		if err != nil {
			return removed, err
		}
		all, err := cluster.Removable()
		if err != nil {
			return removed, err
		}
		rest, err := deleteSelected(ctx, cluster, all, namespace, selector)
		if count += rest; err != nil || count == 0 {
			return removed, err
		}

		removed = max(removed, count)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return removed, fmt.Errorf("clear namespace %s: %w", namespace, context.Cause(ctx))
		}
	}
}

// deleteSelected deletes the objects of several kinds that a selector matches.
func deleteSelected(
	ctx context.Context, cluster *kube.Cluster, kinds []schema.GroupVersionResource,
	namespace, selector string,
) (int, error) {
	counts := make([]int, len(kinds))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i, kind := range kinds {
		group.Go(func() (err error) {
			counts[i], err = cluster.DeleteSelected(ctx, kind, namespace, selector)
			return err
		})
	}

	err := group.Wait()
	sum := 0
	for _, count := range counts {
		sum += count
	}
	return sum, err
}
