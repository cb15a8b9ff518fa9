// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// NewRunID is a name for a run that no other has.
func NewRunID() string {
	var bytes [4]byte
	_, _ = rand.Read(bytes[:]) // it never fails
	return hex.EncodeToString(bytes[:])
}

// Runner carries out scenarios in a cluster.
type Runner struct {
	Cluster *kube.Cluster
	// Options are those of the next scenario.
	Options Options
	// Progress is told how far the run is, by any goroutine. It must not wait.
	Progress func(Progress)
	// Recorder keeps what is found.
	Recorder Recorder

	removed []string      // namespaces that are being removed
	longer  time.Duration // that may take because of what is in them
	left    error         // why some are not
	earlier []leftover
}

// Recorder keeps what a run finds as soon as it has it. An error of its own ends the run.
type Recorder interface {
	// Iteration takes the samples of an iteration that has ended.
	Iteration(samples []measure.Sample) error
	// Scenario takes what else is known of a scenario when there is no further iteration, before
	// anything is removed.
	Scenario(facts Facts) error
}

// Facts are what is known of a scenario beyond its samples.
type Facts struct {
	Warnings []string
	// AgentNodes and TargetNodes are where the pods were.
	AgentNodes, TargetNodes []string
	// Check is what the pairs did after the last iteration, nil if nobody looked.
	Check *measure.Check
	// Events are what has happened in its iterations, of a disruption.
	Events []result.Event
}

// Wait waits until everything that was removed is gone, also when the context has ended. It returns
// all that has gone wrong with the removal.
func (r *Runner) Wait(ctx context.Context) error {
	if len(r.removed) == 0 {
		return r.left
	}
	ctx, cancel := r.Options.removal(context.WithoutCancel(ctx), r.longer)
	defer cancel()
	return errors.Join(r.left, awaitNamespaces(ctx, r.Cluster, r.removed, r.Progress))
}

// Run carries out a scenario as often as the options say, and removes what it created, also when it
// fails or the context ends. Wait tells when that is gone, and what is not.
func (r *Runner) Run(ctx context.Context, s scenario.Scenario) (err error) {
	if err := r.checkMayCreate(ctx); err != nil {
		return err
	}
	if err := r.checkTrigger(ctx); err != nil {
		return err
	}
	if r.Options.Disruption.PerNode {
		options, err := r.perNode(ctx)
		if err != nil {
			return err
		}
		r.Options = options
	}
	env, err := r.environment(ctx, s)
	if err != nil {
		return err
	}
	for _, check := range []func(context.Context) error{
		env.choosePlace, env.checkNamespaces, env.checkWords, env.checkRights,
		env.checkSecrets, env.checkServices,
	} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	env.earlier = r.earlier
	defer func() {
		env.close()
		r.earlier = append(r.earlier, env.leftover())
		if !r.Options.Keep {
			r.left = errors.Join(r.left, env.remove(context.WithoutCancel(ctx)))
			r.removed = append(r.removed, env.created...)
			r.longer += env.removalTime()
		}
	}()

	err = env.run(ctx, r.Recorder)
	if err := errors.Join(err, r.Recorder.Scenario(env.facts(ctx))); err != nil {
		return err
	}
	return env.exit(ctx)
}

// run builds the environment and runs the scenario in it, while it renews the leases.
func (e *environment) run(ctx context.Context, to Recorder) error {
	err := e.createNamespaces(ctx)
	if err == nil {
		err = e.grantLeases(ctx)
	}
	if err != nil {
		return fmt.Errorf("prepare %s: %w", e.scenario.Name, err)
	}

	ctx, stop := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		if err := e.renewLeases(ctx); err != nil {
			stop(err)
		}
	})
	defer renewing.Wait()
	defer stop(nil)

	return e.iterate(ctx, to)
}

// iterate runs the scenario as often as the options say.
func (e *environment) iterate(ctx context.Context, to Recorder) (err error) {
	if err := e.build(ctx); err != nil {
		return fmt.Errorf("prepare %s: %w", e.scenario.Name, err)
	}

	stopLoad, err := e.startLoad(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopLoad()) }()

	for number := range e.options.Repeat {
		if number > 0 {
			if err := jitter(ctx); err != nil {
				return err
			}
		}
		e.last = number == e.options.Repeat-1
		if err := e.runParts(ctx, to); err != nil {
			return err
		}
	}

	return nil
}

// checkTrigger makes sure that a user's own change touches nothing that is there already.
func (r *Runner) checkTrigger(ctx context.Context) error {
	if r.Options.Trigger == nil {
		return nil
	}
	for _, object := range r.Options.Trigger.ClusterScoped() {
		if err := r.checkAbsent(ctx, object.Unstructured); err != nil {
			return err
		}
	}
	names := []string{r.Options.Trigger.Agents.Namespace, r.Options.Trigger.Targets.Namespace}
	for _, name := range names {
		namespace := &corev1.Namespace{TypeMeta: kind("v1", "Namespace")}
		if namespace.Name = name; name == "" {
			continue // the run has a name for its own
		}
		if slices.Contains(r.removed, name) { // by the scenario before
			if err := awaitNamespaces(ctx, r.Cluster, []string{name}, r.Progress); err != nil {
				return err
			}
		}
		if err := r.checkAbsent(ctx, namespace); err != nil {
			return err
		}
	}

	return nil
}

// named is an object with its name.
type named interface {
	runtime.Object
	GetName() string
}

// checkAbsent makes sure that an object does not exist.
func (r *Runner) checkAbsent(ctx context.Context, object named) error {
	exists, err := r.Cluster.Exists(ctx, object)
	if err != nil || !exists {
		return err
	}
	return fmt.Errorf(
		"measure %s %s: it exists already, and a run must not change what is not its own: "+
			"expected another name",
		object.GetObjectKind().GroupVersionKind().Kind,
		object.GetName(),
	)
}

// environment names the namespaces of a scenario.
func (r *Runner) environment(ctx context.Context, s scenario.Scenario) (*environment, error) {
	servers, err := APIServers(ctx, r.Cluster, r.Options)
	if err != nil {
		return nil, err
	}
	if servers[0].Addr().IsUnspecified() {
		r.Progress(Progress{Scenario: s.Name, Problem: "this user may not read the addresses of " +
			"the API server: isolation leaves the agents all of these: " +
			strings.Join(texts(servers), ", ")})
	}
	return newEnvironment(r.Options, s, r.Cluster, servers, r.Progress), nil
}

// APIServers are the addresses of the API server that isolation leaves the agents. A guest may not
// be allowed to read them: then any could be one, at ports that no target serves.
func APIServers(
	ctx context.Context, cluster *kube.Cluster, o Options,
) ([]netip.AddrPort, error) {
	servers, err := kube.APIServers(ctx, cluster)
	if o.guest() && apierrors.IsForbidden(err) {
		return cluster.AnyAPIServer(scenario.Port, scenario.OtherPort), nil
	}
	return servers, err
}

func newEnvironment(
	o Options,
	s scenario.Scenario,
	cluster *kube.Cluster,
	servers []netip.AddrPort,
	progress func(Progress),
) *environment {
	prefix := namespacePrefix(o.RunID, o.Number, s.Name)
	from := scenario.RoleAgent
	if s.Kind == scenario.Inside {
		from = scenario.RoleStartup
	}

	env := &environment{
		options: o, scenario: s, cluster: cluster, progress: progress,
		pods: make(map[string][]corev1.Pod), leases: make(map[string]types.UID),
		sizes: make(map[string]int),
		parameters: scenario.Parameters{
			Settings:       o.Settings,
			AgentNamespace: prefix + agentsSuffix, TargetNamespace: prefix + targetsSuffix,
			Labels:     ownLabels(o.RunID),
			APIServers: servers, From: from, Addresses: make(map[string][]netip.Addr),
		},
	}
	switch {
	case o.guest():
		env.beGuest()
	case o.Trigger != nil:
		env.nameNamespaces(prefix, *o.Trigger)
	}
	return env
}

// nameNamespaces gives the namespaces the names that a user's own change wants, and what the run
// creates there names that no object of the change has.
func (e *environment) nameNamespaces(prefix string, t scenario.Trigger) {
	p := &e.parameters
	p.Prefix = ownPrefix
	p.TargetNamespace = cmp.Or(t.Targets.Namespace, p.TargetNamespace)
	p.AgentNamespace = cmp.Or(t.Agents.Namespace, p.AgentNamespace)
	if t.SameNamespace {
		p.AgentNamespace = p.TargetNamespace
	}
	for number := range t.Others {
		p.OtherNamespaces = append(p.OtherNamespaces, fmt.Sprint(prefix, otherSuffix, number))
	}
}

// Preview is what a scenario would write: before its first trigger, and by its triggers, which may
// delete something, too.
type Preview struct{ Before, Triggers, Deletions []runtime.Object }

// Objects are what a scenario would write, for a person to look at.
func Objects(
	o Options, s scenario.Scenario, cluster *kube.Cluster, servers []netip.AddrPort,
) (Preview, error) {
	env := newEnvironment(o, s, cluster, servers, nil)
	all, pods := env.preview(), env.createdPods()
	all.Triggers = append(all.Triggers, pods...)
	return all, o.Overlay.Apply(slices.Concat(all.Before, pods)...)
}

// preview is what the scenario would write, but for the pods that its trigger creates.
func (e *environment) preview() Preview {
	all := Preview{Before: e.namespaces()}
	for _, name := range e.namespaceNames() {
		all.Before = append(all.Before, e.leaseOf(name))
	}
	all.Before = append(all.Before, e.objects()...)
	for _, group := range e.groups() {
		all.Before = append(all.Before, e.targets(group)...)
	}
	if e.scenario.Kind != scenario.Inside {
		all.Before = append(all.Before, e.agents())
	}
	all.Before = append(all.Before, slices.Concat(e.scenario.Setup(e.parameters)...)...)

	for _, part := range e.scenario.Parts(e.parameters) {
		all.Triggers = append(all.Triggers, part.Change.Apply...)
		all.Deletions = append(all.Deletions, part.Change.Delete...)
		all.Deletions = append(all.Deletions, part.Opening...)
	}
	return all
}

// createdPods are the pods that the trigger creates, one for all.
func (e *environment) createdPods() []runtime.Object {
	if e.scenario.Kind != scenario.Created {
		return nil
	}
	return []runtime.Object{e.targetPod(0, 0)}
}

// maxAttempts is how often the parts of a scenario are begun, at the most.
const maxAttempts = 3

// runParts runs all parts of the scenario once, each of which is an iteration. Each continues where
// the one before has ended: if the trigger of one has failed, all are run again, and what is
// recorded stays.
func (e *environment) runParts(ctx context.Context, to Recorder) error {
	recorded := 0
	for attempt := 1; ; attempt++ {
		err := e.refresh(ctx)
		if err == nil && attempt > 1 {
			err = e.takeBack(ctx)
		}
		if err == nil {
			err = e.tryParts(ctx, to, &recorded)
		}
		if !errors.Is(err, errTriggerFailed) || attempt == maxAttempts {
			return err
		}
		e.collector.warn(fmt.Sprintf("an iteration was repeated: %v", err))
	}
}

// takeBack makes the change of the last of several parts: after it everything is as it was before
// the first one, also what [environment.reset] does not know, such as labels.
func (e *environment) takeBack(ctx context.Context) error {
	parts := e.scenario.Parts(e.parameters)
	if len(parts) < 2 {
		return nil
	}
	return e.cluster.Change(ctx, parts[len(parts)-1].Change.Apply...)
}

// tryParts runs all parts, and records what is not yet recorded.
func (e *environment) tryParts(ctx context.Context, to Recorder, recorded *int) error {
	if err := e.reset(ctx); err != nil {
		return err
	}

	run := map[scenario.Kind]func(context.Context, scenario.Part) ([]measure.Sample, error){
		scenario.Standing: e.runStanding,
		scenario.Created:  e.runCreated,
		scenario.Inside:   e.runInside,
	}[e.scenario.Kind]
	for number := range e.scenario.Parts(e.parameters) {
		if number > 0 {
			if err := e.goOn(ctx, number); err != nil {
				return err
			}
		}
		samples, err := run(ctx, e.scenario.Parts(e.parameters)[number])
		for i := range samples {
			samples[i].Setting = e.options.Label
		}
		if len(samples) > 0 && number >= *recorded {
			*recorded = number + 1
			err = errors.Join(err, to.Iteration(samples))
		}
		if err != nil {
			return err
		}
	}

	return nil
}

// goOn readies the part of a number, which begins where the one before it has ended. An agent that
// has come in the place of another has not got what that one was given, such as a label.
func (e *environment) goOn(ctx context.Context, number int) error {
	before := e.found
	if err := e.refresh(ctx); err != nil || maps.Equal(before, e.found) {
		return err
	}
	return e.cluster.Change(ctx, e.scenario.Parts(e.parameters)[number-1].Change.Apply...)
}

// exit ends the agents.
func (e *environment) exit(ctx context.Context) error {
	if e.scenario.Kind == scenario.Inside {
		return nil
	}
	return e.publish(ctx, protocol.Plan{Iteration: e.iterations, Step: protocol.StepExit})
}

// factsTimeout is how long it may take to find out where the pods were.
const factsTimeout = 5 * time.Second

// facts are what is known of the scenario beyond its samples.
func (e *environment) facts(ctx context.Context) Facts {
	if e.collector == nil {
		return Facts{} // there is no pod yet
	}
	// Where the pods were is to be known of a run that was interrupted too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), factsTimeout)
	defer cancel()

	facts := Facts{Warnings: e.warnings(), Check: e.checked, Events: e.events}
	facts.AgentNodes, facts.TargetNodes = e.nodesOfPods(ctx)
	return facts
}

func (e *environment) warnings() []string {
	e.collector.mu.Lock()
	defer e.collector.mu.Unlock()
	var all []string
	for text := range e.collector.warnings {
		all = append(all, visible.Line(text))
	}
	slices.Sort(all)
	return all
}

// nodesOfPods are the nodes of the agents and of the targets, as far as they can be found out.
func (e *environment) nodesOfPods(ctx context.Context) (agents, targets []string) {
	nodes := func(namespace, selector string) []string {
		pods, err := e.list(ctx, namespace, selector)
		if err != nil {
			return nil
		}
		var names []string
		for _, pod := range pods {
			names = append(names, pod.Spec.NodeName)
		}
		slices.Sort(names)
		return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
			return name == ""
		})
	}

	return nodes(e.parameters.AgentNamespace, e.selector(e.parameters.From)),
		nodes(e.parameters.TargetNamespace, e.selector(scenario.RoleTarget))
}

// The removal of what a run has created may take a while, and longer the more that is.
const (
	shortestRemoval     = 2 * time.Minute
	removalOfANamespace = 5 * time.Second
	removalOfAPod       = 50 * time.Millisecond
	removalOfAnObject   = 20 * time.Millisecond
)

// removalTime is how much longer the removal may take because of this scenario.
func (e *environment) removalTime() time.Duration {
	pods := e.options.Agents
	for _, group := range e.groups() {
		pods += group.Size(e.options.Targets)
	}
	switch e.scenario.Kind {
	case scenario.Created:
		pods += e.options.created()
	case scenario.Inside:
		pods += e.options.Targets
	}
	return time.Duration(len(e.namespaceNames()))*removalOfANamespace +
		time.Duration(pods)*removalOfAPod +
		time.Duration(e.options.BackgroundPolicies)*removalOfAnObject
}

// removal is a context for what must be gone after a while, of which more is the part that is for
// what was created.
func (o Options) removal(
	ctx context.Context, more time.Duration,
) (context.Context, context.CancelFunc) {
	longest := shortestRemoval + more
	return context.WithTimeoutCause(ctx, longest, fmt.Errorf("it is not gone after %s: see %q",
		longest, o.cleanup()))
}

// cleanup is the command that removes what the run has left.
func (o Options) cleanup() string {
	command := "netpol-latency cleanup --run-id " + o.RunID
	if o.guest() {
		command += " --namespace " + o.AgentNamespace
	}
	if o.TargetNamespace != "" {
		command += " --target-namespace " + o.TargetNamespace
	}
	return command
}

// remove has everything deleted that the scenario has created.
func (e *environment) remove(ctx context.Context) error {
	ctx, cancel := e.options.removal(ctx, e.removalTime())
	defer cancel()

	e.report("cleaning up", 0, 0)
	if e.options.Trigger != nil {
		if err := e.removeTrigger(ctx); err != nil {
			return err
		}
	}

	if !e.guest() {
		return deleteNamespaces(ctx, e.cluster, e.created, e.progress)
	}
	var mistakes []error
	for _, name := range e.namespaceNames() {
		_, err := clearNamespace(ctx, e.cluster, name, labels.FormatLabels(e.parameters.Scope))
		mistakes = append(mistakes, err)
	}
	return errors.Join(mistakes...)
}

// removeTrigger deletes those objects of a user's own change that no namespace takes along. What
// has taken their names is left alone, and said.
func (e *environment) removeTrigger(ctx context.Context) error {
	var objects []runtime.Object
	for _, object := range e.options.Trigger.ClusterScoped() {
		objects = append(objects, object.Unstructured)
	}

	left, err := e.cluster.DeleteLabelled(ctx, RunLabel, e.options.RunID, objects...)
	for _, text := range left {
		e.progress(Progress{Scenario: e.scenario.Name, Problem: text})
	}
	return err
}

// Describe is one line about a set of nodes.
func Describe(nodes []string) string {
	if len(nodes) == 0 {
		return "unknown nodes"
	}
	return strings.Join(nodes, ", ")
}

// ResultNames are the names that the results of a scenario will have.
func ResultNames(o Options, s scenario.Scenario) []string {
	env := newEnvironment(o, s, nil, nil, nil)
	var names []string
	for _, part := range s.Parts(env.parameters) {
		it := env.newIteration(part)
		for _, expect := range part.Expect {
			names = append(names, expectation(expect).Name(it.name))
		}
		if s.Kind == scenario.Inside {
			names = append(names, it.linesOf(mainContainer)...)
		}
	}
	return names
}

// Iterations is how many iterations a scenario will have: as many as its parts, as often as it is
// repeated.
func Iterations(o Options, s scenario.Scenario) int {
	env := newEnvironment(o, s, nil, nil, nil)
	return o.Repeat * len(s.Parts(env.parameters))
}
