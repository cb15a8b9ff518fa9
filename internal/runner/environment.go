// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// environment is what one scenario runs in: namespaces of its own, with targets and agents.
type environment struct {
	options    Options
	scenario   scenario.Scenario
	cluster    *kube.Cluster
	parameters scenario.Parameters
	node       string               // of the agents, where the placement matters
	created    []string             // namespaces
	leases     map[string]types.UID // by namespace
	granted    time.Time            // when they were, before they were created
	collector  *collector
	stop       context.CancelFunc
	collected  chan struct{}
	pods       map[string][]corev1.Pod // targets by group
	found      map[int]string          // UIDs of the agents' pods whose names are known, by number
	sizes      map[string]int          // how many of each group there are to be
	plan       protocol.Plan
	iterations int  // how many have begun
	last       bool // no other run of the parts follows
	checked    *measure.Check
	progress   func(Progress)
	others     []string // policies in the namespaces that are not of the run
	wordless   bool     // the user may write no policy of the network plugin's own kind
	earlier    []leftover
	events     []result.Event // what has happened in the iterations of a disruption
}

func (e *environment) mode() string { return e.options.Mode(e.scenario) }

func (e *environment) needsRaw() bool {
	return slices.Contains([]string{setting.ProbeSYN, setting.ProbeAuto}, e.mode())
}

// build creates what the scenario needs in its namespaces and waits until it is up.
func (e *environment) build(ctx context.Context) error {
	if !e.guest() {
		if err := e.copyPullSecrets(ctx); err != nil {
			return err
		}
	}
	if err := e.apply(ctx, e.objects()...); err != nil {
		return err
	}

	for _, group := range e.groups() {
		if err := e.apply(ctx, e.targets(group)...); err != nil {
			return err
		}
	}

	e.startCollecting(ctx)
	if err := e.nameForeignPods(ctx); err != nil {
		return err
	}
	if e.scenario.Kind != scenario.Inside {
		if err := e.apply(ctx, e.agents()); err != nil {
			return err
		}
		if err := e.awaitAgents(ctx); err != nil {
			return err
		}
	}

	if err := e.awaitTargets(ctx); err != nil || e.scenario.Kind != scenario.Standing {
		return err
	}
	if err := e.verifyTrigger(); err != nil {
		return err
	}
	return e.allowReads(ctx)
}

// verifyTrigger makes sure that a user's own change is about the pods that there are.
func (e *environment) verifyTrigger() error {
	if e.options.Trigger == nil {
		return nil
	}
	return e.options.Trigger.Verify(e.parameters.Addresses[""],
		e.parameters.Addresses[scenario.GroupA])
}

// createNamespaces creates the namespaces. One that exists is another run's, also where that has
// begun at the same time: nothing of it may be removed at the end.
func (e *environment) createNamespaces(ctx context.Context) error {
	for _, namespace := range e.namespaces() {
		name := namespace.(*corev1.Namespace).Name
		if err := e.options.Overlay.Apply(namespace); err != nil {
			return err
		}

		err := e.cluster.Create(ctx, namespace)
		if apierrors.IsAlreadyExists(err) {
			return inUse(e.options, name)
		}
		e.created = append(e.created, name) // an answer that did not come may have been yes
		if err != nil {
			return err
		}
	}
	return nil
}

// apply writes objects of the run by server-side apply, with what the cluster wants of them.
func (e *environment) apply(ctx context.Context, objects ...runtime.Object) error {
	if err := e.options.Overlay.Apply(objects...); err != nil {
		return err
	}
	return e.cluster.Apply(ctx, objects...)
}

// copyPullSecrets copies the secrets that pods pull their images with into the namespaces.
func (e *environment) copyPullSecrets(ctx context.Context) error {
	for _, name := range e.options.Overlay.PullSecrets {
		home := cmp.Or(name.Namespace, e.cluster.UserNamespace)
		found, err := e.cluster.CoreV1().Secrets(home).Get(ctx, name.Name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("copy the image pull secret %s/%s: %w", home, name.Name, err)
		}

		for _, namespace := range e.namespaceNames() {
			err := e.apply(ctx, &corev1.Secret{
				TypeMeta:   kind("v1", "Secret"),
				ObjectMeta: e.meta(namespace, name.Name, nil),
				Type:       found.Type, Data: found.Data,
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *environment) groups() []scenario.Group { return e.scenario.Groups(e.options.Settings) }

func (e *environment) startCollecting(ctx context.Context) {
	ctx, e.stop = context.WithCancel(ctx)
	home := kube.Namespace{Client: e.cluster, Name: e.parameters.AgentNamespace}
	e.collector = newCollector(home, e.options.Clock)
	e.collector.outage = e.cluster.LastOutage
	if e.options.Direction == setting.Egress && e.options.Trigger == nil {
		e.collector.wayOut = "; --direction ingress isolates the targets alone"
	}
	e.collector.say = func(text string) {
		e.progress(Progress{Scenario: e.scenario.Name, Problem: text})
	}

	e.collected = make(chan struct{})
	go func() {
		defer close(e.collected)
		_ = e.collector.run(ctx, e.selector(scenario.RoleAgent)) // it ends with the context
	}()
}

// close ends the collecting.
func (e *environment) close() {
	if e.stop != nil {
		e.stop()
		<-e.collected
	}
}

// withSetupTimeout is a context that ends when something has taken too long.
func (e *environment) withSetupTimeout(
	ctx context.Context, what string,
) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, e.options.SetupTimeout,
		fmt.Errorf("%s: %w: not within %s", what, errSetupTimeout, e.options.SetupTimeout))
}

func (e *environment) awaitAgents(ctx context.Context) error {
	ctx, cancel := e.withSetupTimeout(ctx, "start the agents")
	defer cancel()

	err := e.diagnosed(ctx, e.parameters.AgentNamespace, func(ctx context.Context) error {
		return e.collector.await(ctx, func() bool {
			ready, lost := e.collector.ready(), len(e.collector.lost())
			if e.iterations == 0 || ready < e.options.Agents {
				e.report("starting agents", ready, e.options.Agents)
			}
			// One that is not heard does not keep the others from going on.
			return ready > 0 && ready+lost >= e.options.Agents
		})
	})
	switch {
	case errors.Is(err, errSetupTimeout):
		for _, why := range e.lostAgents() {
			err = errors.Join(err, errors.New(why))
		}
		return errors.Join(err, e.explain(e.parameters.AgentNamespace))
	case err != nil:
		return err
	}

	return e.findAgents(ctx)
}

// findAgents reads the names and the addresses of the agents' pods.
func (e *environment) findAgents(ctx context.Context) error {
	pods, err := e.list(ctx, e.parameters.AgentNamespace, e.selector(scenario.RoleAgent))
	if err != nil {
		return err
	}
	pods, e.found = livingPods(pods), e.livingAgents()
	e.parameters.AgentPods = nil
	for _, pod := range pods {
		e.parameters.AgentPods = append(e.parameters.AgentPods, pod.Name)
	}
	e.parameters.Addresses[""] = e.addresses(pods)
	return nil
}

// awaitTargets waits until all targets are ready to answer.
func (e *environment) awaitTargets(ctx context.Context) error {
	if len(e.groups()) == 0 {
		return nil
	}
	ctx, cancel := e.withSetupTimeout(ctx, "start the targets")
	defer cancel()

	err := e.diagnosed(ctx, e.parameters.TargetNamespace, e.watchTargets)
	switch {
	case errors.Is(err, errSetupTimeout):
		return errors.Join(err, e.explain(e.parameters.TargetNamespace))
	case err != nil:
		return err
	}
	return e.checkFamily()
}

// refresh finds out which pods there are now, before an iteration: one that was evicted is not
// measured any more, and the one that came in its place is.
func (e *environment) refresh(ctx context.Context) error {
	if e.iterations == 0 {
		return nil // they have just been found
	}

	before := e.podNames()
	if e.scenario.Kind != scenario.Inside {
		if err := e.awaitAgents(ctx); err != nil {
			return err
		}
	}
	if err := e.awaitTargets(ctx); err != nil {
		return err
	}
	if e.scenario.Kind != scenario.Standing || slices.Equal(before, e.podNames()) {
		return nil
	}
	return e.allowReads(ctx) // triggers may be about pods by name
}

// podNames are the names of the agents and of the targets.
func (e *environment) podNames() []string {
	names := slices.Clone(e.parameters.AgentPods)
	for _, pods := range e.pods {
		for _, pod := range pods {
			names = append(names, pod.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (e *environment) checkFamily() error {
	for group, pods := range e.pods {
		if len(e.parameters.Addresses[group]) < len(pods) {
			return fmt.Errorf(
				"probe over %s: not all targets have such an address: "+
					"does the cluster have that family?",
				e.options.Family,
			)
		}
	}
	return nil
}

// list lists pods. A list from the API server's memory is new enough: what it lacks, the next one
// has.
func (e *environment) list(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	list, err := e.cluster.CoreV1().
		Pods(namespace).
		List(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return list.Items, nil
}

// livingPods are those that have not ended and are not about to.
func livingPods(pods []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || kube.PodEnded(&pod)
	})
}

// addresses are the pods' addresses of the family that is measured.
func (e *environment) addresses(pods []corev1.Pod) []netip.Addr {
	var all []netip.Addr
	for _, pod := range pods {
		if address, ok := e.address(pod); ok {
			all = append(all, address)
		}
	}
	return all
}

func (e *environment) address(pod corev1.Pod) (netip.Addr, bool) {
	for _, ip := range pod.Status.PodIPs {
		address, err := netip.ParseAddr(ip.IP)
		if err == nil && address.Is6() == (e.options.Family == setting.IPv6) {
			return address, true
		}
	}
	return netip.Addr{}, false
}

// publish gives the agents a plan. Each carries a ping.
func (e *environment) publish(ctx context.Context, plan protocol.Plan) error {
	plan.Ping, plan.Share, plan.Left = e.plan.Ping+1, e.share(), leftAt(time.Now(), e.earlier)
	plan.Egress = e.options.Direction == setting.Egress
	e.collector.pinged(plan.Ping, time.Now())
	if err := e.apply(ctx, e.planObject(plan)); err != nil {
		return fmt.Errorf("tell the agents what to do: %w", err)
	}
	if plan.Step != protocol.StepExit {
		e.collector.expectAnswer(plan.Ping, e.cutOffAfter(), e.parameters.APIServers)
	}
	e.plan = plan
	return nil
}

// report says how far the run is.
func (e *environment) report(what string, done, of int) {
	e.progress(Progress{Scenario: e.scenario.Name, What: what, Done: done, Of: of})
}

// Progress is how far a run is.
type Progress struct {
	Scenario string
	What     string
	Done, Of int
	// Problem is something that keeps the run from getting on, to be said once; the rest is empty
	// then.
	Problem string
}

// reset puts the policies in force that the scenario begins with, and no others. One that stays is
// not deleted and created anew: on the way between, the network would for a moment be in a state
// that is taken for the old one. Policies of others stay, which qualifies the results.
func (e *environment) reset(ctx context.Context) error {
	layers := e.scenario.Setup(e.parameters)
	if err := e.removePolicies(ctx, layers); err != nil {
		return err
	}

	if e.options.Trigger != nil {
		patches, objects := e.options.Trigger.Undo(e.parameters)
		if err := e.cluster.Change(ctx, patches...); err != nil {
			return err
		}
		left, err := e.cluster.DeleteLabelled(ctx, RunLabel, e.options.RunID, objects...)
		if err != nil {
			return err
		}
		for _, text := range left {
			e.collector.warn(text)
		}
	}

	// What a user's own change finds must belong to the same manager as the change: else it could
	// not take anything back.
	apply := e.apply
	if e.options.Trigger != nil {
		apply = e.cluster.Change
	}
	for i, objects := range layers {
		if err := apply(ctx, objects...); err != nil {
			return err
		}
		if i < len(layers)-1 {
			if err := e.proveBlocked(ctx); err != nil {
				return err
			}
		}
	}

	return nil
}

// removePolicies deletes the policies of the scenario but for those of the first layer, and notes
// those of others.
func (e *environment) removePolicies(ctx context.Context, layers [][]runtime.Object) error {
	pods, err := e.podLabels()
	if err != nil {
		return err
	}

	for _, namespace := range e.namespaceNames() {
		policies := e.cluster.NetworkingV1().NetworkPolicies(namespace)
		list, err := policies.List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list policies: %w", err)
		}
		for _, policy := range list.Items {
			switch {
			case policy.Labels[backgroundLabel] != "" || begins(layers, policy):
				continue
			case !e.own(policy.Labels):
				if selects(policy, pods) {
					e.foreign(namespace + "/" + policy.Name)
				}
				continue
			}
			err := policies.Delete(ctx, policy.Name, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("delete policy %s: %w", policy.Name, err)
			}
		}
	}
	return nil
}

// own reports whether labels are those of what the scenario has created.
func (e *environment) own(labels map[string]string) bool {
	return labels[RunLabel] == e.options.RunID &&
		labels[scopeLabel] == e.parameters.Scope[scopeLabel]
}

// foreign notes that a policy in a namespace of the run is not its own, and says so once: it stays
// in force, and the results are of both.
func (e *environment) foreign(policy string) {
	if slices.Contains(e.others, policy) {
		return
	}
	e.others = append(e.others, policy)
	text := fmt.Sprintf("policy %s is not of this run: it stays in force", policy)
	e.collector.warn(text)
	e.progress(Progress{Scenario: e.scenario.Name, Problem: text})
}

// begins reports whether a policy is one of the first layer.
func begins(layers [][]runtime.Object, policy networkingv1.NetworkPolicy) bool {
	return len(layers) > 0 && slices.ContainsFunc(layers[0], func(object runtime.Object) bool {
		first, ok := object.(*networkingv1.NetworkPolicy)
		return ok && first.Namespace == policy.Namespace && first.Name == policy.Name
	})
}

// proveBlocked waits until every pair of the scenario's beginning is seen blocked.
func (e *environment) proveBlocked(ctx context.Context) error {
	it := e.newIteration(e.scenario.Parts(e.parameters)[0])
	it.part.Expect = slices.Clone(it.part.Expect)
	for i := range it.part.Expect {
		it.part.Expect[i].Want = measure.StateAllowed
	}
	it.expectAll()
	return it.prove(ctx)
}
